package Test::Confluence;

# What tests of confluence need beside Test::Nginx: content, torrents, seeders
# of several kinds, a tracker, and clients.  All of it on the loopback; every
# process is stopped, by its id, when the object goes.
#
#	my $t = Test::Nginx->new();
#	my $c = Test::Confluence->new($t);
#
#	my $torrent = $c->torrent('a.bin', size => 1000000);
#	my $seed = $c->seed_libtorrent($torrent);
#
#	http_get($c->url($torrent, path => 'a.bin', peers => [ $seed ]));

use warnings;
use strict;

use Cwd qw/ abs_path /;
use Digest::SHA qw/ sha1 sha1_hex sha256_hex sha512 /;
use Fcntl qw/ :mode /;
use File::Basename qw/ dirname /;
use File::Find;
use File::Path qw/ mkpath rmtree /;
use File::Temp qw/ tempdir /;
use IO::Socket::INET;
use List::Util qw/ max /;
use POSIX qw//;
use Scalar::Util qw/ weaken /;
use Test::Confluence::Process;
use Test::Confluence::Streams;
use Test::More qw//;
use Test::Nginx qw/ port /;
use Time::HiRes qw/ sleep time /;

my $tools = dirname(abs_path(__FILE__)) . '/../../tools';

my @instances;
my $address = 1;

sub new {
	my ($class, $t) = @_;

	my $self = bless {
		pid => $$,
		t => $t,
		dir => $t->testdir(),
		processes => [],
		torrents => 0,
	}, $class;

	weaken($self->{t});

	push @instances, $self;
	weaken($instances[-1]);

	return $self;
}

sub DESTROY {
	my ($self) = @_;

	$self->stop_all();
	$self->finish();
}

END {
	local $?;

	for my $self (grep { defined } @instances) {
		$self->stop_all();
		$self->finish();
	}
}

# nginx's own Test::Nginx makes its last checks when it is destroyed, which is
# too late for them if a subroutine of the test has it, too.

sub finish {
	my ($self) = @_;

	my $t = $self->{t};

	return if $self->{pid} != $$ || !$t || $t->can('finish')
		|| $self->{finished}++;

	local $?;

	$t->DESTROY();
	bless $t, 'Test::Confluence::Finished';
}

# Alerts that the test brings about.  The Test::Nginx of nginx's own tests
# cannot tell them from others.

sub expect_alerts {
	my ($self, $re) = @_;

	return $self->{t}->can('expect_alerts')
		? $self->{t}->expect_alerts($re) : $self->{t}->todo_alerts();
}

sub stop_all {
	my ($self) = @_;

	return if $self->{pid} != $$;

	local $?;

	my @processes = splice @{ $self->{processes} };

	kill 'TERM', $_->{pid} for @processes;
	$_->stop() for @processes;
}

# The test is skipped unless all these programs and modules are there.

sub has {
	my ($self, @names) = @_;

	for my $name (@names) {
		if ($name =~ /^(?:libtorrent|prometheus_client)$/) {
			system("/usr/bin/python3 -c 'import $name' 2>/dev/null")
				== 0 or Test::More::plan(skip_all =>
					"no module $name of python3");
			next;
		}

		$self->{t}->has_daemon($name);
	}

	return $self;
}

# What runs a command behind a line of so many bits per second, ms each way and
# lost packets in a million: it has the address 10.98.0.2 there, and we 10.98.0.1
# as long as it runs.  For tests that use Test::Confluence::Namespace.

sub wire {
	my ($self, $rate, $delay, $loss) = @_;

	Test::More::plan(skip_all => 'no tun devices') unless -w '/dev/net/tun';
	$self->has('ip');

	return [ tool('wire'), $rate, $delay, $loss ];
}

# A program of ours in C, t/tools/*.c, which is built if it is not there.

sub tool {
	my ($name) = @_;

	my $root = abs_path("$tools/../..");

	system("make -s -C $root tools") == 0 or die "Can't make the tools\n";

	return ($ENV{BUILD} || "$root/build") . "/tools/$name";
}

# Fills the cache with n torrents that are complete before nginx starts; torrent
# i is 16384 bytes of i and a line feed again and again, in a file "f<i>".
# Returns the infohashes.

sub fill {
	my ($self, $n) = @_;

	my $tool = tool('fill_cache');

	return split /\n/, `$tool $self->{dir}/cache $n`;
}

# A port that is free for TCP and UDP, on any loopback address; below those
# that the kernel gives to clients.

sub free_port {
	for (1 .. 200) {
		my $port = 10000 + int(rand(20000));

		my @sockets = grep { defined } map {
			IO::Socket::INET->new(Proto => $_,
				LocalAddr => "0.0.0.0:$port",
				$_ eq 'tcp' ? (Listen => 1) : ())
		} qw/ tcp udp /;

		return $port if @sockets == 2;
	}

	die "Can't find a free port\n";
}

# Each peer gets an address of its own in 127.0.0.0/8, as in real life.

sub free_address {
	$address++;

	return sprintf('127.%d.%d.%d:%d', 1 + $$ % 250, $$ / 250 % 250,
		$address, free_port());
}

# The directives that tests have at the http level.  Options are directives
# without "confluence_"; undef removes one of these.

sub conf {
	my ($self, %o) = @_;

	$self->{listen} ||= '127.0.0.1:' . free_port();

	my %conf = (
		cache_path => "$self->{dir}/cache",
		listen => $self->{listen},
		dht => 'off',
		lsd => 'off',
		private_networks => 'on',
		utp => 'off',
		%o,
	);

	return join '', map { "    confluence_$_ $conf{$_};\n" }
		grep { defined $conf{$_} } sort keys %conf;
}

# Content: len bytes that depend on the seed alone.

sub bytes {
	my ($self, $len, $seed) = @_;

	$seed = 0 unless defined $seed;

	my $block = join '', map { sha512("$seed:$_") } 0 .. 1023;
	my $out = '';

	for (my $n = 0; length($out) < $len; $n++) {
		$out .= $block ^ (sha512("$seed/$n") x 1024);
	}

	return substr($out, 0, $len);
}

# Integers are given as references: { length => \100 }.

sub bencode {
	my ($x) = @_;

	return 'i' . $$x . 'e' if ref $x eq 'SCALAR' || ref $x eq 'REF';
	return 'l' . join('', map { bencode($_) } @$x) . 'e'
		if ref $x eq 'ARRAY';
	return 'd' . join('', map { bencode("$_") . bencode($x->{$_}) }
		sort keys %$x) . 'e' if ref $x eq 'HASH';

	return length($x) . ':' . $x;
}

# Makes a torrent and its files.
#
# name: of the torrent; may contain any bytes but "/" and zero
# size, content: of a single-file torrent
# files: [ path, size | \content ]...: of a multi-file torrent
# seed: of the generated content
# piece: its length, 16384 by default
# kind: "v1" by default, "v2" or "hybrid"
# trackers, webseeds: lists of URLs
# private: BEP 27
# utf8: with path.utf-8 beside path
# info, meta: hashes of more keys of the info and of the torrent
#
# Returns { ih, v2, info, file (the .torrent), dir (holds the files), name,
# data (path => content), whole, paths, piece, pieces }.

sub torrent {
	my ($self, $name, %o) = @_;

	my $torrent = {
		name => $name,
		piece => $o{piece} || 16384,
		dir => "$self->{dir}/data" . ++$self->{torrents},
		file => "$self->{dir}/$self->{torrents}.torrent",
		data => {},
		paths => [],
	};

	if ($o{files}) {
		$torrent->{multi} = 1;
		$self->add_file($torrent, $_->[0], $_->[1], $o{seed})
			for @{ $o{files} };

	} else {
		$self->add_file($torrent, $name,
			defined $o{content} ? \$o{content} : $o{size}, $o{seed});
	}

	$torrent->{whole} = join '', @{ $torrent->{data} }{
		@{ $torrent->{paths} } };

	write_files($torrent);

	if ($o{kind} && $o{kind} ne 'v1') {
		make_by_library($torrent, %o);

	} else {
		make_v1($torrent, %o);
	}

	$torrent->{pieces} = int((length($torrent->{whole})
		+ $torrent->{piece} - 1) / $torrent->{piece});

	return $torrent;
}

# Three small torrents whose infohashes are known from elsewhere, and one that
# is a single file.

sub fixtures {
	my ($self) = @_;

	return (
		$self->torrent('fx1', utf8 => 1,
			files => [ [ 'hello.txt', \"Hello, confluence!\n" ] ]),
		$self->torrent('fx2', utf8 => 1, files => [
			[ 'dir/a.bin', \join('', map { chr((7 * $_ + 3) % 256) }
				0 .. 39999) ],
			[ 'dir/b.txt', \'0123456789' ],
			[ 'dir/empty.dat', \'' ],
		]),
		$self->torrent('fx3', utf8 => 1,
			files => [ [ 'hundred.bin', \join('', map { chr }
				0 .. 99) ] ]),
		$self->torrent('movie.mp4', content => join('',
			map { chr((13 * $_ + 1) % 256) } 0 .. 99999)),
	);
}

sub add_file {
	my ($self, $torrent, $path, $content, $seed) = @_;

	$seed = ($seed || 0) . ":$path";

	push @{ $torrent->{paths} }, $path;
	$torrent->{data}{$path} = ref $content ? $$content
		: $self->bytes($content, $seed);
}

sub write_files {
	my ($torrent) = @_;

	for my $path (@{ $torrent->{paths} }) {
		my $file = file_of($torrent, $path);

		mkpath(dirname($file));
		spew($file, $torrent->{data}{$path});
	}
}

# Where a torrent's file is; of the first one, if path is not given.

sub file_of {
	my ($torrent, $path) = @_;

	$path = $torrent->{paths}[0] unless defined $path;

	return "$torrent->{dir}/"
		. ($torrent->{multi} ? "$torrent->{name}/" : '') . $path;
}

sub spew {
	my ($file, $content) = @_;

	open my $fh, '>', $file or die "Can't create $file: $!\n";
	binmode $fh;
	print $fh $content;
	close $fh or die "Can't write $file: $!\n";
}

sub slurp {
	my ($file) = @_;

	open my $fh, '<', $file or die "Can't open $file: $!\n";
	binmode $fh;
	local $/;

	my $content = <$fh>;

	return defined $content ? $content : '';
}

sub make_v1 {
	my ($torrent, %o) = @_;

	my %info = (
		name => $torrent->{name},
		'piece length' => \$torrent->{piece},
		pieces => join('', map { sha1($_) }
			unpack("(a$torrent->{piece})*", $torrent->{whole})),
	);

	if ($torrent->{multi}) {
		$info{files} = [ map { {
			length => \length($torrent->{data}{$_}),
			path => [ split m{/}, $_ ],
			$o{utf8} ? ('path.utf-8' => [ split m{/}, $_ ]) : (),
		} } @{ $torrent->{paths} } ];

	} else {
		$info{length} = \length($torrent->{whole});
	}

	$info{private} = \1 if $o{private};

	$torrent->{info} = bencode({ %info, %{ $o{info} || {} } });
	$torrent->{ih} = sha1_hex($torrent->{info});

	my %meta = %{ $o{meta} || {} };

	$meta{announce} = $o{trackers}[0] if $o{trackers};
	$meta{'announce-list'} = [ map { [ $_ ] } @{ $o{trackers} } ]
		if $o{trackers};
	$meta{'url-list'} = $o{webseeds} if $o{webseeds};

	# the info is kept verbatim, thus the place by hand: "info" sorts here
	my $head = substr(bencode({ map { $_ => $meta{$_} }
		grep { $_ lt 'info' } keys %meta }), 0, -1);
	my $tail = substr(bencode({ map { $_ => $meta{$_} }
		grep { $_ gt 'info' } keys %meta }), 1);

	$torrent->{bytes} = "${head}4:info$torrent->{info}$tail";

	spew($torrent->{file}, $torrent->{bytes});
}

sub make_by_library {
	my ($torrent, %o) = @_;

	my @command = ("$tools/mk_torrent.py", $torrent->{file},
		"$torrent->{dir}/$torrent->{name}", $o{kind}, $torrent->{piece},
		(map { ('--tracker', $_) } @{ $o{trackers} || [] }),
		(map { ('--webseed', $_) } @{ $o{webseeds} || [] }),
		$o{private} ? '--private' : ());

	open my $fh, '-|', @command or die "Can't run $command[0]: $!\n";
	my @lines = <$fh>;
	close $fh or die "$command[0] failed\n";

	for (@lines) {
		$torrent->{$1} = $2 if /^(v\d) ([0-9a-f]+)/;
	}

	$torrent->{ih} = $torrent->{v1} || substr($torrent->{v2}, 0, 40);
	$torrent->{bytes} = slurp($torrent->{file});
}

# A magnet link.  peers: addresses or seeders; trackers, webseeds, sources: URLs.

sub magnet {
	my ($self, $torrent, %o) = @_;

	my @topics = grep { defined }
		($torrent->{v1} || !$torrent->{v2}
			? 'xt=urn:btih:' . ($torrent->{v1} || $torrent->{ih})
			: undef,
		$torrent->{v2} ? "xt=urn:btmh:1220$torrent->{v2}" : undef);

	return 'magnet:?' . join('&', @topics,
		(map { 'x.pe=' . peer_address($_) } @{ $o{peers} || [] }),
		(map { 'tr=' . escape($_) } @{ $o{trackers} || [] }),
		(map { 'ws=' . escape($_) } @{ $o{webseeds} || [] }),
		(map { 'xs=' . escape($_) } @{ $o{sources} || [] }));
}

sub peer_address {
	my ($peer) = @_;

	return ref $peer ? $peer->{address} : $peer;
}

# The URL of a route for a torrent; by magnet if there is anything to tell,
# else by infohash.  path, filename, nowait: parameters of the query.

sub url {
	my ($self, $torrent, %o) = @_;

	my $route = $o{route} || '/data';
	my $by = $o{peers} || $o{trackers} || $o{webseeds} || $o{sources}
		? 'magnet=' . escape($self->magnet($torrent, %o))
		: "ih=$torrent->{ih}";

	return "$route?$by" . join('', map { "&$_=" . escape($o{$_}) }
		grep { defined $o{$_} } qw/ path filename nowait /);
}

sub escape {
	my ($s) = @_;

	$s =~ s/([^A-Za-z0-9._~-])/sprintf('%%%02X', ord($1))/ge;

	return $s;
}

# Seeders.  Each returns a process with its address; the torrents it is given
# are seeded when the function returns.  by: a command that runs the seeder.

sub seed_libtorrent {
	my ($self, $torrents, %o) = @_;

	my $address = $o{address} || free_address();

	my $process = $self->spawn([ @{ $o{by} || [] }, "$tools/lt_seed.py",
		(map { ($_->{file}, $_->{dir}) } list($torrents)),
		'--listen', $address,
		$o{rate} ? ('--rate', $o{rate}) : (),
		$o{utp} ? '--utp' : (), $o{lsd} ? '--lsd' : (),
		$o{dht} ? ('--dht', $o{dht}) : (),
		map { ('--set', $_) } @{ $o{set} || [] } ]);

	$process->{address} = $address;
	$process->wait_line(qr/^READY/, 20);

	return $process;
}

# A peer that does as it is told; see t/tools/peer.py.

sub seed_scripted {
	my ($self, $torrent, %o) = @_;

	my $address = $o{address} || free_address();

	my $process = $self->spawn([ "$tools/peer.py", $torrent->{file},
		$torrent->{dir}, '--listen', $address,
		'--mode', $o{mode} || 'good',
		defined $o{have} ? ('--have', $o{have}) : (),
		$o{pex} ? ('--pex', peer_address($o{pex})) : () ]);

	$process->{address} = $address;
	$process->wait_line(qr/^READY/, 20);

	return $process;
}

sub seed_aria2 {
	my ($self, $torrents, %o) = @_;

	my @torrents = list($torrents);
	my $address = $o{address} || free_address();
	my ($host, $port) = split /:/, $address;

	my $process = $self->spawn([ 'aria2c', '--no-conf',
		"--interface=$host", "--listen-port=$port", '--enable-dht=false',
		'--enable-dht6=false', '--bt-enable-lpd=false',
		'--seed-ratio=0.0', '--check-integrity=true',
		'--summary-interval=0', '--console-log-level=notice',
		"--dir=$torrents[0]{dir}", map { $_->{file} } @torrents ]);

	$process->{address} = $address;
	wait_port($address);
	$process->wait_line(qr/Seeding is|Download complete|Verification fin/i, 20)
		for @torrents;

	return $process;
}

sub seed_transmission {
	my ($self, $torrents, %o) = @_;

	my @torrents = list($torrents);
	my $address = $o{address} || free_address();
	my ($host, $port) = split /:/, $address;
	my $rpc = free_port();
	my $dir = $self->new_dir('transmission');

	spew("$dir/settings.json", <<EOF);
{ "bind-address-ipv4": "$host", "bind-address-ipv6": "::1",
  "peer-port": $port, "rpc-port": $rpc, "rpc-bind-address": "127.0.0.1",
  "rpc-authentication-required": false, "rpc-whitelist-enabled": false,
  "dht-enabled": false, "lpd-enabled": false, "pex-enabled": true,
  "utp-enabled": false, "port-forwarding-enabled": false, "encryption": 0,
  "download-dir": "$dir", "ratio-limit-enabled": false,
  "peer-congestion-algorithm": "", "upload-slots-per-torrent": 14 }
EOF

	my $process = $self->spawn([ 'transmission-daemon', '-f', '-g', $dir ]);

	$process->{address} = $address;
	wait_port("127.0.0.1:$rpc");

	my $remote = "transmission-remote 127.0.0.1:$rpc";

	for my $torrent (@torrents) {
		system("$remote -a $torrent->{file} -w $torrent->{dir}"
			. ' >/dev/null 2>&1') == 0
			or die "Can't add to transmission\n";
	}

	wait_for(sub {
		my $n = () = `$remote -l 2>/dev/null` =~ /\b100%.*(?:Idle|Seed)/g;
		return $n == @torrents;
	}, 30, 'transmission seeds');

	return $process;
}

sub seed_qbittorrent {
	my ($self, $torrents, %o) = @_;

	my @torrents = list($torrents);
	my $address = $o{address} || free_address();
	my ($host, $port) = split /:/, $address;
	my $web = free_port();
	my $dir = $self->new_dir('qbittorrent');

	mkpath("$dir/qBittorrent/config");
	spew("$dir/qBittorrent/config/qBittorrent.conf", <<EOF);
[LegalNotice]
Accepted=true
[BitTorrent]
Session\\Port=$port
Session\\Interface=lo
Session\\InterfaceName=lo
Session\\InterfaceAddress=$host
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\PeXEnabled=true
Session\\QueueingSystemEnabled=false
Session\\MultiConnectionsPerIp=true
[Preferences]
WebUI\\Port=$web
WebUI\\Address=127.0.0.1
WebUI\\LocalHostAuth=false
WebUI\\UseUPnP=false
General\\UseRandomPort=false
Connection\\UPnP=false
EOF

	my $process = $self->spawn([ 'env', "HOME=$dir", 'qbittorrent-nox',
		"--profile=$dir", "--webui-port=$web" ]);

	$process->{address} = $address;
	wait_port("127.0.0.1:$web", 30);

	my $api = $process->{api} = "http://127.0.0.1:$web/api/v2/torrents";

	for my $torrent (@torrents) {
		system("curl -sf -o /dev/null -F torrents=\@$torrent->{file}"
			. " -F savepath=$torrent->{dir} $api/add") == 0
			or die "Can't add to qbittorrent\n";
	}

	wait_for(sub {
		my $n = () = `curl -sf $api/info` =~
			/"state":"(?:uploading|stalledUP|forcedUP)"/g;
		return $n == @torrents;
	}, 30, 'qbittorrent seeds');

	return $process;
}

# A tracker that knows these torrents; its URL is in {url}.

sub tracker {
	my ($self, @torrents) = @_;

	my $port = free_port();
	my $dir = tempdir('tracker-XXXXXXXXXX', TMPDIR => 1);

	spew("$dir/whitelist", join('', map { uc($_->{ih}) . "\n" } @torrents));
	chmod 0755, $dir;

	my $process = $self->spawn([ 'opentracker', '-i', '127.0.0.1',
		'-p', $port, '-P', $port, '-d', $dir, '-w', 'whitelist',
		$> == 0 ? ('-u', 'nobody') : () ]);

	$process->{url} = "http://127.0.0.1:$port/announce";
	$process->{udp} = "udp://127.0.0.1:$port/announce";
	$process->{rmdir} = $dir;
	wait_port("127.0.0.1:$port");

	return $process;
}

# Downloads with libtorrent; the decoded result, progress 1 if it has all.

sub leech {
	my ($self, $source, %o) = @_;

	my $dir = $self->new_dir('leech');
	my @command = ("$tools/lt_leech.py", $source, $dir,
		'--listen', $o{listen} || free_address(),
		'--timeout', $o{timeout} || 30,
		(map { ('--peer', peer_address($_)) } @{ $o{peers} || [] }),
		(map { ('--tracker', $_) } @{ $o{trackers} || [] }));

	open my $fh, '-|', @command or die "Can't run $command[0]: $!\n";
	my $line = <$fh> || '';
	close $fh;

	return { dir => $dir, map { /"(\w+)": ([\d.]+)/ ? ($1 => $2 + 0) : () }
		split /,/, $line };
}

sub new_dir {
	my ($self, $name) = @_;

	my $dir = "$self->{dir}/$name." . ++$self->{dirs};
	mkpath($dir);

	return $dir;
}

sub list {
	my ($x) = @_;

	return ref $x eq 'ARRAY' ? @$x : ($x);
}

# Waits for a fact; dies when it does not come about.

sub wait_for {
	my ($code, $seconds, $what) = @_;

	my $end = time() + $seconds;

	while (1) {
		my $result = $code->();
		return $result if $result;

		die "timed out after ${seconds}s: $what\n" if time() > $end;
		sleep(0.02);
	}
}

sub wait_port {
	my ($address, $seconds) = @_;

	return wait_for(sub {
		IO::Socket::INET->new(Proto => 'tcp', PeerAddr => $address)
	}, $seconds || 10, "listening on $address");
}

# Fetches by curl, any number of URLs at once.
#
# Each argument is a URL of the server, or a hash { url, args (of curl),
# timeout (seconds, 30) }.  Returns a list of { status, headers, body, time
# (seconds), first (to the first byte), sha256, size, error (of curl, 0) }.

sub fetch {
	my ($self, @requests) = @_;

	my @running = map { $self->fetch_start($_) } @requests;
	my @results = map { $self->fetch_end($_) } @running;

	return wantarray ? @results : $results[0];
}

sub fetch_start {
	my ($self, $request) = @_;

	$request = { url => $request } unless ref $request;

	my $dir = $self->new_dir('fetch');
	my $url = $request->{url};

	$url = 'http://127.0.0.1:' . port(8080) . $url unless $url =~ /^http/;

	my $process = $self->spawn([ 'curl', '-sS', '--globoff',
		'--max-time', $request->{timeout} || 30,
		'-o', "$dir/body", '-D', "$dir/headers",
		'-w', 'CURL %{http_code} %{time_total} %{time_starttransfer}\n',
		@{ $request->{args} || [] }, $url ]);

	$process->{fetch} = $dir;

	return $process;
}

# Fetches, and sees meanwhile how much of the cache is used, by used() or another
# function: peak is the most of it.

sub fetch_peak {
	my ($self, $request, $used) = @_;

	my $process = $self->fetch_start($request);
	my $peak = 0;

	$used ||= sub { $self->used() };

	until ($process->ended()) {
		$peak = max($peak, $used->());
		$process->output();
		sleep(0.02);
	}

	return { %{ $self->fetch_end($process) }, peak => $peak };
}

sub fetch_end {
	my ($self, $process) = @_;

	my $status = $process->wait();
	my $dir = $process->{fetch};

	my %result = (error => $status >> 8, status => 0, body => '',
		headers => '');

	if ($process->output() =~ /^CURL (\d+) ([\d.]+) ([\d.]+)/m) {
		@result{qw/ status time first /} = ($1, $2, $3);
	}

	$result{body} = slurp("$dir/body") if -f "$dir/body";
	$result{headers} = slurp("$dir/headers") if -f "$dir/headers";
	$result{size} = length($result{body});
	$result{sha256} = sha256_hex($result{body});

	rmtree($dir);

	return \%result;
}

# Starts clients that read at the same time and check every byte.
#
# Each is a hash as for t/tools/streams.py, where torrent and what url() takes
# may be given instead of url and file.  Returns a Test::Confluence::Streams.

sub streams {
	my ($self, @clients) = @_;

	for my $client (@clients) {
		my $torrent = delete $client->{torrent} or next;

		$client->{file} = file_of($torrent, $client->{path});
		$client->{url} = $self->url($torrent, %$client);
		delete @$client{qw/ filename nowait path peers route trackers
			webseeds /};
	}

	return $self->keep(Test::Confluence::Streams->new("$tools/streams.py",
		$self->new_dir('streams') . '/spec',
		{ address => '127.0.0.1:' . port(8080), clients => \@clients }));
}

# Processes of this nginx whose title matches, oldest first.  A process is ours
# if it has the error log of this test open.

sub processes {
	my ($self, $re) = @_;

	my @pids;

	for (`ps -eo pid,args`) {
		my ($pid, $title) = /^\s*(\d+) nginx: (.*?)\s*$/ or next;
		push @pids, $pid if $title =~ $re && $self->is_ours($pid);
	}

	@pids = sort { $a <=> $b } @pids;

	return @pids;
}

sub is_ours {
	my ($self, $pid) = @_;

	return scalar grep { (readlink($_) || '') eq "$self->{dir}/error.log" }
		glob("/proc/$pid/fd/*");
}

# What a process holds, by name, the newest of each: descriptors and mappings but
# those of payload and maps, anonymous memory in KiB.

sub holds {
	my ($self) = @_;

	my %holds;
	my $cache = qr{/cache/(?:pieces|files)/};

	for my $name ('master process', 'worker process', 'cache manager') {
		my $pid = ($self->processes(qr/^$name/))[-1] or next;
		my ($rss) = slurp("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;

		$holds{$name} = {
			fds => scalar(grep { defined && !/$cache/ }
				map { readlink } glob("/proc/$pid/fd/*")),
			maps => scalar(grep { !/$cache/ }
				split /\n/, slurp("/proc/$pid/maps")),
			rss => $rss,
		};
	}

	return %holds;
}

# Files of the cache that should not be there when nothing is going on: temporary
# ones, those of uploads, a second file of a segment, maps and payload without
# one another.

sub strays {
	my ($self) = @_;

	my (@strays, %segments, %payload, %map);

	find({ no_chdir => 1, wanted => sub {
		my $name = substr($_, length("$self->{dir}/cache/"));

		if ($name =~ m{^pieces/([0-9a-f]{40})/(\d+)\.\d+$}) {
			$payload{$1} = 1;
			push @strays, $name if $segments{"$1/$2"}++;

		} elsif ($name =~ m{^pieces/([0-9a-f]{40})/map$}) {
			$map{$1} = 1;

		} elsif ($name =~ m{^files/([0-9a-f]{40})/}) {
			$payload{$1} = 1;

		} elsif ($name !~ m{^(?:lock|engine\.sock|counters|sealed
			|pieces\.db(?:-wal|-shm)?
			|pieces|files|metainfo|upload|trash
			|(?:pieces|files)/[0-9a-f]{40}
			|metainfo/[0-9a-f]{40}\.torrent)$}x)
		{
			push @strays, $name;
		}
	} }, glob("$self->{dir}/cache/*"));

	$payload{$_} = 1 for $self->rows('SELECT lower(hex(ih)) FROM torrent'
		. ' WHERE EXISTS (SELECT 1 FROM block WHERE block.id >='
		. ' torrent.id << 32 AND block.id < (torrent.id + 1) << 32)');

	push @strays, map { "payload of $_" } grep { !$map{$_} } keys %payload;
	push @strays, map { "map of $_" } grep { !$payload{$_} } keys %map;

	return sort @strays;
}

# What the process of the engines and the workers together take: anonymous memory
# in KiB, and seconds of a processor since they began.

sub usage {
	my ($self) = @_;

	my %usage;

	for my $of ([ engine => qr/^cache manager/ ], [ workers => qr/^worker/ ]) {
		my ($name, $re) = @$of;

		for my $pid ($self->processes($re)) {
			my ($memory) = slurp("/proc/$pid/status") =~ /^RssAnon:\s*(\d+)/m;
			my @stat = split ' ', slurp("/proc/$pid/stat") =~ s/^.*\) //sr;

			$usage{$name}{memory} += $memory;
			$usage{$name}{cpu} += ($stat[11] + $stat[12]) / 100;
		}
	}

	return \%usage;
}

# Prints what has come to that since.

sub tell_usage {
	my ($self, $what, $before) = @_;

	my $now = $self->usage();

	Test::More::diag("$what: " . join ', ', map { sprintf
		'%s %+.1f to %.1f MiB, %.2f s of a processor', $_,
		($now->{$_}{memory} - $before->{$_}{memory}) / 1024,
		$now->{$_}{memory} / 1024, $now->{$_}{cpu} - $before->{$_}{cpu}
	} sort keys %$now);

	return $now;
}

# Bytes that are allocated for payload in the cache, or in the directory dir.

sub used {
	my ($self, $dir) = @_;
	my $sum = 0;

	$dir = "$self->{dir}/cache" unless defined $dir;

	find({ no_chdir => 1, wanted => sub {
		my @st = lstat($_);
		$sum += $st[12] * 512 if @st && S_ISREG($st[2]) && m{/\d+\.\d+$};
	} }, grep { -d } "$dir/pieces");

	return $sum;
}

# Of layout=files: the folder of a torrent, the files in it, and bytes that are
# allocated for all of them.

sub files_root {
	my ($self, $torrent) = @_;

	return "$self->{dir}/cache/files/$torrent->{ih}";
}

sub files {
	my ($self, $torrent) = @_;
	my @files;

	find({ no_chdir => 1, wanted => sub { push @files, $_ if -f $_ } },
		grep { -d } $self->files_root($torrent));

	return @files;
}

sub files_used {
	my ($self) = @_;
	my $sum = 0;

	find({ no_chdir => 1, wanted => sub {
		my @st = lstat($_);
		$sum += $st[12] * 512 if @st && S_ISREG($st[2]);
	} }, grep { -d } "$self->{dir}/cache/files");

	return $sum;
}

# Of layout=sqlite: the lines that a query has for an answer; none if there is no
# database.

sub rows {
	my ($self, $sql) = @_;
	my $db = "$self->{dir}/cache/pieces.db";

	return unless -f $db;

	open my $fh, '-|', 'sqlite3', '-cmd', '.timeout 5000', $db, $sql
		or die "Can't run sqlite3: $!\n";
	chomp(my @lines = <$fh>);

	return @lines;
}

# Kills nginx as a power cut would: all of its processes, the master first.

sub kill_all {
	my ($self) = @_;

	my ($group) = slurp("$self->{dir}/nginx.pid") =~ /(\d+)/;
	my @children = split ' ', slurp("/proc/$group/task/$group/children");

	kill 'KILL', $_ for $group, @children;

	# whoever is a zombie has closed its sockets

	wait_for(sub {
		waitpid($group, POSIX::WNOHANG());
		!kill(0, $group) && !grep {
			(eval { slurp("/proc/$_/stat") } || ') Z ') !~ /\) [ZX] /
		} @children
	}, 10, 'killed');

	unlink "$self->{dir}/nginx.pid";
}

# From its next start on nginx sees the boot id of another boot, in a mount
# namespace of its own; the user must be root.

sub reboot {
	my ($self) = @_;

	my $file = "$self->{dir}/boot_id";
	my $hex = sha1_hex($self->{boots}++ . $$);

	spew($file, join('-', unpack('a8 a4 a4 a4 a12', $hex)) . "\n");

	$self->run_by('unshare', '-m', 'sh', '-c', 'mount --bind "$0"'
		. ' /proc/sys/kernel/random/boot_id && exec "$@"', $file);

	return $self;
}

# From the next start on nginx is run by a command, which execs its arguments.

sub run_by {
	my ($self, @command) = @_;

	return $self->{t}->run_by(@command) if $self->{t}->can('run_by');

	# nginx's own Test::Nginx runs what this variable names

	no warnings 'once';

	my $script = "$self->{dir}/nginx.sh";

	$self->{nginx} ||= $Test::Nginx::NGINX;
	spew($script, join(' ', '#!/bin/sh' . "\nexec", map { s/'/'\\''/gr
		=~ s/(.*)/'$1'/sr } @command, $self->{nginx}) . ' "$@"' . "\n");
	chmod(0755, $script);
	$Test::Nginx::NGINX = $script;
}

# Flips a byte of a file.

sub flip {
	my ($file, $offset) = @_;

	open my $fh, '+<', $file or die "Can't open $file: $!\n";
	binmode $fh;
	seek $fh, $offset, 0;
	read $fh, my $byte, 1;
	seek $fh, $offset, 0;
	print $fh chr(ord($byte) ^ 1);
	close $fh or die "Can't write $file: $!\n";
}

# Starts a process; its output is collected.

sub spawn {
	my ($self, $command) = @_;

	return $self->keep(Test::Confluence::Process->new($command));
}

sub keep {
	my ($self, $process) = @_;

	# what has ended need not be kept
	@{ $self->{processes} } = grep { !$_->{ended} }
		@{ $self->{processes} };

	push @{ $self->{processes} }, $process;

	return $process;
}

1;
