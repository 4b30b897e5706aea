#!/usr/bin/perl

# Tests for /events: what is told of pieces, to whom, and for how long.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use IO::Select;
use IO::Socket::INET;
use Socket qw/ SOL_SOCKET SO_RCVBUF /;
use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl rewrite/);
my $c = Test::Confluence->new($t)->has('libtorrent', 'openssl');

plan(skip_all => 'no python3-websockets')
	if system('/usr/bin/python3 -c "import websockets" 2>/dev/null');

my $conf = $c->conf(torrent_grace => '1s',
	cache_path => $t->testdir() . '/cache max_size=16m');

$t->write_file_expand('nginx.conf', <<'EOC' =~ s/%%CONFLUENCE%%/$conf/r);

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    # millions of events are no reading
    error_log  %%TESTDIR%%/error.log info;

    confluence_ping_interval 10m;

    server {
        listen       127.0.0.1:8080;
        listen       127.0.0.1:8081 sndbuf=4k;
        listen       127.0.0.1:8443 ssl;
        server_name  localhost;

        ssl_certificate      localhost.crt;
        ssl_certificate_key  localhost.key;

        location / {
            confluence;
        }

        location /pinged {
            confluence events;
            confluence_ping_interval 300ms;
        }

        location /short {
            confluence events;
            send_timeout 1s;
            error_log %%TESTDIR%%/short.log info;
        }
    }
}

EOC

my $dir = $t->testdir();

system("openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost"
	. " -keyout $dir/localhost.key -out $dir/localhost.crt 2>/dev/null")
	== 0 or die "Can't make a certificate\n";

my $piece = 65536;
my ($f1, $f2) = $c->fixtures();
my $held = $c->torrent('held.bin', size => 6 * $piece + 100, piece => $piece);
my $small = $c->torrent('small.bin', size => 8 * 1048576, piece => 1048576);
my $big = $c->torrent('big.bin', size => 40 * 1048576, piece => 1048576);
my $many = $c->torrent('many.bin', size => 800 * 16384, piece => 16384);

my $peer = $c->seed_scripted($held, mode => 'hold');
my $seed = $c->seed_libtorrent([ $f1, $f2, $small, $big, $many ]);

$t->run()->plan(41);

# a download, piece by piece

my $ws = client($c->url($held, peers => [ $peer ], route => '/events'));
is($ws->wait_line(qr/^open/), 'open ', 'open');

my $tls = client($c->url($held, route => '/events'),
	base => 'wss://127.0.0.1:' . port(8443));
ok($tls->wait_line(qr/^open/), 'open over tls');

my $fetch = $c->fetch_start($c->url($held));

ok($ws->wait_line(qr/^message \{"PieceChanged":6\}$/), 'wanted');
is(states($held, 'Priority'), '5 3 3 3 3 3 3', 'states of wanted');

$peer->wait_line(qr/^request 0 /);
seen($ws);
$peer->tell('give 0');
ok($ws->wait_line(qr/^message \{"PieceChanged":0\}$/), 'changed');
ok(told($ws, sub { states($held, 'Complete') =~ /^true/ }, 0), 'complete');

$peer->tell('give all');
ok($c->fetch_end($fetch)->{body} eq $held->{whole}, 'download');

ok(all_told($ws, $held), 'every piece was told');
ok(all_told($tls, $held), 'every piece was told over tls');
is(join('', grep { !/^message \{"PieceChanged":[0-6]\}\n$/
	&& !/^open/ } lines($ws)), '', 'nothing else was told');

# what a client sends

$ws->tell('ping hello');
pass('pong');
$ws->tell('text hello');
$ws->tell('ping again');
pass('text is ignored');
print { $ws->{in} } "close\n";
is($ws->wait_line(qr/^closed/), 'closed 1000', 'closed');

# anybody may come

$ws = client($c->url($held, route => '/events'),
	args => [ '--origin', 'http://elsewhere.invalid', '--protocol', 'foo' ]);
is($ws->wait_line(qr/^open/), 'open foo', 'foreign origin, a protocol');
$ws->stop();

# the info is waited for, or not

my $later = $c->torrent('later.bin', size => 20000);
$ws = client($c->url($later, route => '/events'));
my $ws2 = client($c->url($later, route => '/events', nowait => 1));
is($ws2->wait_line(qr/^(?:status|open)/), 'status 202', 'nowait');
is($ws->output(), '', 'waits for the info');

http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
	. length($later->{bytes}) . "\x0d\x0a\x0d\x0a$later->{bytes}");
ok($ws->wait_line(qr/^open/), 'info has come');

# an open socket holds its torrent, a closed one does not

http_get($c->url($f1, peers => [ $seed ]));
ok(gone($f1), 'torrent without a holder is dropped');
like(http_get('/status'), qr/^Infohash: $later->{ih}$/m, 'torrent is held');
print { $ws->{in} } "close\n";
ok(gone($later), 'and dropped afterwards');

# eviction

$ws = client($c->url($small, peers => [ $seed ], route => '/events'));
$ws->wait_line(qr/^open/);
$c->fetch($c->url($small, peers => [ $seed ]));
ok(all_told($ws, $small), 'a torrent is there');
seen($ws);

$c->fetch($c->url($big, peers => [ $seed ]));
my @evicted = lost($small);
cmp_ok(scalar @evicted, '>', 0, 'pieces were evicted');
ok(told($ws, sub { 1 }, @evicted), 'and each of them was told');
seen($ws);

$c->fetch($c->url($small, peers => [ $seed ]));
ok(told($ws, sub { 1 }, @evicted), 'and that they are back');
$ws->stop();

# a client that takes nothing for a while misses nothing

my $s = raw($c->url($many, peers => [ $seed ], route => '/events'),
	port => 8081);
my $url = $c->url($many, peers => [ $seed ]);
my $other = $c->url($big, peers => [ $seed ]);

for (1 .. 2) {
	$c->fetch($url);
	$c->fetch($other);
}

$c->fetch($url);

my %told;
my $text = '';

Test::Confluence::wait_for(sub {
	while (IO::Select->new($s)->can_read(0.1)) {
		sysread($s, $text, 65536, length $text) or last;
	}

	$told{$1} = 1 while $text =~ /\{"PieceChanged":(\d+)\}/g;
	keys %told == 800;
}, 20, 'slow client');

is(scalar keys %told, 800, 'a slow client is told of each piece');
close $s;

# one that takes nothing at all is left alone

$s = raw('/short?ih=' . $many->{ih}, port => 8081);

ok(eval {
	Test::Confluence::wait_for(sub {
		$c->fetch($other);
		$c->fetch($url);
		$t->read_file('short.log') =~ /client timed out/
	}, 40, 'send timeout');
}, 'a client that takes nothing is closed');
close $s;

# pings

$ws = client($c->url($held, route => '/pinged'));
$ws->wait_line(qr/^open/);
$s = raw('/pinged?ih=' . $held->{ih});

$text = read_all($s);
like($text, qr/\x89\x00/, 'pinged');
like($text, qr/\x88\x02\x03\xf0$/, 'closed for its silence');
$ws->tell('ping still');
pass('who answers stays');
$ws->stop();

# the engine dies; what changes until the worker hears of the next one

$peer->stop();
$held = $c->torrent('again.bin', size => 6 * $piece, piece => $piece);
$peer = $c->seed_scripted($held, mode => 'hold');

$ws = client($c->url($held, peers => [ $peer ], route => '/events'));
$ws->wait_line(qr/^open/);
$fetch = $c->fetch_start({ url => $c->url($held, peers => [ $peer ]),
	timeout => 60 });
$peer->wait_line(qr/^request 0 /);
$peer->tell('give 0');
ok(told($ws, sub { states($held, 'Complete') =~ /^true/ }, 0),
	'before the engine died');

my @missing = lost($held);
seen($ws);
$peer->tell('mode slow:100000');

for my $n (1 .. 3) {
	my ($engine) = process(qr/cache manager/);
	kill 'KILL', $engine;
	Test::Confluence::wait_for(sub {
		my ($new) = process(qr/cache manager/);
		$new && $new != $engine
	}, 10, 'respawned');

	Test::Confluence::wait_for(sub { lost($held) <= 5 - $n }, 20,
		'a piece more');
}

ok($c->fetch_end($fetch)->{body} eq $held->{whole}, 'while the engine dies');
ok(told($ws, sub { !lost($held) }, @missing), 'each of them was told');

# the worker does not run while the engine dies and pieces come

$held = $c->torrent('third.bin', size => 6 * $piece, piece => $piece);
$peer->stop();
$peer = $c->seed_scripted($held, mode => 'good');

$ws->stop();
$ws = client($c->url($held, peers => [ $peer ], route => '/events'));
$ws->wait_line(qr/^open/);

my $worker;
Test::Confluence::wait_for(sub { $worker = worker_of($ws) }, 10,
	'worker of the client');

my ($engine) = process(qr/cache manager/);

kill 'STOP', $worker;
kill 'KILL', $engine;
Test::Confluence::wait_for(sub {
	my ($new) = process(qr/cache manager/);
	$new && $new != $engine
}, 10, 'respawned');

ok($c->fetch($c->url($held, peers => [ $peer ]))->{body} eq $held->{whole},
	'the other worker');
is(substr($ws->output(), -1), "\n", 'nothing is told yet');
kill 'CONT', $worker;

ok(told($ws, sub { 1 }, 0 .. 5), 'what came meanwhile is told');

# reload: clients are told, and do not keep old workers

$s = raw('/events?ih=' . $held->{ih});
my @old = process(qr/worker process$/);
$t->reload();

is($ws->wait_line(qr/^closed/), 'closed 1001', 'told of the reload');
like(read_all($s), qr/\x88\x02\x03\xe9$/, 'told to who does not answer');

ok(eval {
	Test::Confluence::wait_for(sub {
		my %new = map { $_ => 1 } process(qr/worker/);
		!grep { $new{$_} } @old
	}, 20, 'old workers');
}, 'old workers are gone');

$ws = client($c->url($held, route => '/events'));
ok($ws->wait_line(qr/^open/), 'open after the reload');

# quit

kill 'QUIT', $t->read_file('nginx.pid') + 0;
is($ws->wait_line(qr/^closed/), 'closed 1001', 'told of the end');

$c->expect_alerts(qr/exited on signal 9/);
$t->stop();

my @errors = $t->read_file('error.log') =~ /\[(?:crit|emerg)\].*/g;
is("@errors", '', 'no critical errors');

# A WebSocket client; by default of the plain port.

sub client {
	my ($path, %o) = @_;

	my $base = $o{base} || 'ws://127.0.0.1:' . port(8080);

	return $c->spawn([ "$FindBin::Bin/tools/ws_client.py", $base . $path,
		@{ $o{args} || [] } ]);
}

# A socket after the handshake, which nobody reads.

sub raw {
	my ($path, %o) = @_;

	my $s = IO::Socket::INET->new(Proto => 'tcp');
	setsockopt($s, SOL_SOCKET, SO_RCVBUF, pack('i', 4096));

	my $sin = Socket::pack_sockaddr_in(port($o{port} || 8080),
		Socket::inet_aton('127.0.0.1'));
	connect($s, $sin) or die "Can't connect: $!\n";

	$s->autoflush(1);
	print $s "GET $path HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a"
		. "Upgrade: websocket\x0d\x0aConnection: Upgrade\x0d\x0a"
		. "Sec-WebSocket-Version: 13\x0d\x0a"
		. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\x0d\x0a\x0d\x0a";

	my $head = '';

	while ($head !~ /\x0d\x0a\x0d\x0a/) {
		IO::Select->new($s)->can_read(8) && sysread($s, $head, 1,
			length $head) or die "No answer: $head\n";
	}

	$head =~ / 101 / or die "Refused: $head\n";

	return $s;
}

sub read_all {
	my ($s) = @_;

	my $text = '';

	while (IO::Select->new($s)->can_read(8)) {
		sysread($s, $text, 65536, length $text) or return $text;
	}

	return "$text, and not closed";
}

sub lines {
	my ($ws) = @_;

	return map { "$_\n" } split /\n/, $ws->output();
}

# Forgets what was told so far.

sub seen {
	my ($ws) = @_;

	$ws->output();
	$ws->{mark} = length $ws->{text};
}

# True when all these pieces are told, and then the fact is one.

sub told {
	my ($ws, $fact, @pieces) = @_;

	my $ok = eval {
		Test::Confluence::wait_for(sub {
			my $text = substr($ws->output(), $ws->{mark} || 0);
			my %told = map { $_ => 1 } $text =~ /PieceChanged":(\d+)/g;

			!grep { !$told{$_} } @pieces and $fact->();
		}, 15, 'told');
	};

	diag(substr($ws->output(), $ws->{mark} || 0)) unless $ok;

	return $ok;
}

sub all_told {
	my ($ws, $torrent) = @_;

	return told($ws, sub { !lost($torrent) }, 0 .. $torrent->{pieces} - 1);
}

# One key of all pieces.

sub states {
	my ($torrent, $key) = @_;

	return join ' ', http_content(http_get($c->url($torrent,
		path => $torrent->{name}, route => '/fileState')))
		=~ /"$key":(\w+)/g;
}

# Pieces that are not complete.

sub lost {
	my ($torrent) = @_;

	my @complete = split / /, states($torrent, 'Complete');

	return grep { $complete[$_] eq 'false' } 0 .. $#complete;
}

sub gone {
	my ($torrent) = @_;

	return eval {
		Test::Confluence::wait_for(sub {
			http_get('/status') !~ /^Infohash: $torrent->{ih}$/m
		}, 20, 'gone');
	};
}

# Processes of this nginx by their title.

sub process {
	my ($re) = @_;

	my $master = $t->read_file('nginx.pid') + 0;

	my %title = map { /^\s*(\d+)\s+(.*?)\s*$/ ? ($1 => $2) : () }
		`ps --ppid $master -o pid=,args=`;

	return sort { $a <=> $b } grep { $title{$_} =~ $re } keys %title;
}

# The worker that has the connection of a client.

sub worker_of {
	my ($ws) = @_;

	my ($ends, $inode);
	my %mine = map { (readlink($_) || '') =~ /^socket:\[(\d+)\]/
		? ($1 => 1) : () } glob("/proc/$ws->{pid}/fd/*");

	open my $fh, '<', '/proc/net/tcp' or return;
	my @lines = map { [ split ] } <$fh>;

	# both addresses: a port alone may be that of other connections, too

	for (@lines) {
		$ends = "$_->[2] $_->[1]" if $mine{$_->[9]};
	}

	for (@lines) {
		$inode = $_->[9] if $ends && "$_->[1] $_->[2]" eq $ends;
	}

	for my $pid (process(qr/worker process$/)) {
		return $pid if grep { (readlink($_) || '') eq "socket:[$inode]" }
			glob("/proc/$pid/fd/*");
	}

	return;
}
