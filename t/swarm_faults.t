#!/usr/bin/perl

# Tests with swarms that come and go, and with trackers of all bad habits: what
# is there is fetched, in time, and nothing is left of the rest.

use warnings;
use strict;

use FindBin;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/ sleep time /;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_end port /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $address = Test::Confluence::free_address();
my $base = 'http://127.0.0.1:' . port(8090) . '/announce';
my @habits = qw/ hang close noise endless error refuse redirect loop /;

$t->run_daemon(\&tracker, port(8090), $address);
$t->waitforsocket('127.0.0.1:' . port(8090));

my $conf = $c->conf();

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
            confluence_wait_timeout 20s;
        }

        location /short {
            confluence data;
            confluence_wait_timeout 2s;
        }
    }
}

EOF

$t->run()->plan(@habits + 16);

# a peer that leaves while it owes blocks: another gives them, or it does when it
# is back

my $torrent = $c->torrent('leaves.bin', size => 600000, piece => 65536);
my $peer = $c->seed_scripted($torrent, mode => 'hold');
my $other = $c->seed_scripted($torrent, mode => 'hold');
my $fetch = $c->fetch_start($c->url($torrent, peers => [ $peer ]));

$peer->wait_line(qr/^request 0 49152 /, 20);

my $second = $c->fetch_start($c->url($torrent, peers => [ $other ]));

$other->wait_line(qr/^interested/, 20);
$other->tell('give all');
$peer->stop();

for my $f ($fetch, $second) {
	ok($c->fetch_end($f)->{body} eq $torrent->{whole},
		'another gives what one owed');
}

$other->stop();

$torrent = $c->torrent('returns.bin', size => 600000, piece => 65536);
$peer = $c->seed_scripted($torrent, mode => 'hold');
$fetch = $c->fetch_start($c->url($torrent, peers => [ $peer ]));
$peer->wait_line(qr/^request 0 49152 /, 20);
$peer->tell('kick');
$peer->tell('give all');

ok($c->fetch_end($fetch)->{body} eq $torrent->{whole},
	'it comes back and gives what it owed');

$peer->stop();

# a peer that sends what nobody asked for, with another; blocks that come twice do
# not matter

for my $mode (qw/ twice more long false /) {
	$torrent = $c->torrent("$mode.bin", size => 1000000, piece => 65536,
		seed => $mode);
	$peer = $c->seed_scripted($torrent, mode => $mode);
	$other = $mode ne 'twice' && $c->seed_libtorrent($torrent);

	ok($c->fetch($c->url($torrent, peers => [ grep { $_ } $peer, $other ]))
		->{body} eq $torrent->{whole}, "peer: $mode");

	$_->stop() for grep { $_ } $peer, $other;
}

# the only peer closes every connection after some blocks

for my $blocks (9, 1) {
	my $torrent = $c->torrent("flap$blocks.bin", size => $blocks * 65536,
		piece => 65536, seed => $blocks);
	my $peer = $c->seed_scripted($torrent, mode => "flap:$blocks");
	my $r = $c->fetch({ url => $c->url($torrent, peers => [ $peer ]),
		timeout => 60 });

	ok($r->{body} eq $torrent->{whole}, "$blocks blocks a connection");
	diag(sprintf '%d connections, %.1fs',
		scalar(() = $peer->output() =~ /^connect/mg), $r->{time});
	$peer->stop();
}

# others connect and leave at once, after a handshake or in the middle of it

$torrent = $c->torrent('crowd.bin', size => 3000000, piece => 65536);
$peer = $c->seed_scripted($torrent, mode => 'slow:1500000');
$fetch = $c->fetch_start($c->url($torrent, peers => [ $peer ]));

$peer->wait_line(qr/^request /, 20);

my %before = $c->holds();
my $hello = "\x13BitTorrent protocol" . "\0" x 8 . pack('H*', $torrent->{ih})
	. '-XX0001-' . 'x' x 12;

for my $i (1 .. 300) {
	my $s = IO::Socket::INET->new(Proto => 'tcp', PeerAddr => $c->{listen})
		or next;

	print $s substr($hello, 0, $i % 3 ? 68 : $i % 68);
	sysread $s, my $buf, 1 if $i % 5 == 0 && $i % 3;
	close $s;
}

ok($c->fetch_end($fetch)->{body} eq $torrent->{whole},
	'300 that come and go meanwhile');

my %after;

ok(eval {
	Test::Confluence::wait_for(sub {
		%after = $c->holds();
		$after{'cache manager'}{fds} <= $before{'cache manager'}{fds} + 2
	}, 20, 'descriptors');
}, 'none of their connections is left')
	or diag("$after{'cache manager'}{fds} descriptors");

$peer->stop();

# trackers: the one that knows a peer is heard beside each of the others

my $seed = $c->seed_libtorrent([ map {
	$c->torrent("$_.bin", size => 100000, seed => $_)
} @habits, 'all' ], address => $address);

for my $habit (@habits) {
	my $torrent = $c->torrent("$habit.bin", size => 100000, seed => $habit);
	my @trackers = $habit eq 'redirect' ? "$base/redirect"
		: ("$base/$habit", "$base/good");

	ok($c->fetch($c->url($torrent, trackers => \@trackers))->{body}
		eq $torrent->{whole}, "tracker: $habit");
}

my $udp = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1:0');
my @all = ('udp://127.0.0.1:' . $udp->sockport() . '/announce',
	'http://127.0.0.1:1/announce', map { "$base/$_" }
	grep { $_ ne 'redirect' } @habits);

my $all = $c->torrent('all.bin', size => 100000, seed => 'all');
ok($c->fetch($c->url($all, trackers => [ @all, "$base/good" ]))->{body}
	eq $all->{whole}, 'one of all is good');

my $none = $c->torrent('none.bin', size => 100000);
my $r = $c->fetch($c->url($none, route => '/short', trackers => \@all));
is($r->{status}, 504, 'none is good');
cmp_ok($r->{time}, '<', 10, 'none is good, told in time');

like(http_get('/health'), qr/ 200 OK/, 'healthy');

# those that do not answer do not hold up the end

my $begun = time();

$t->stop();
cmp_ok(time() - $begun, '<', 10, 'stopped in time');

# A tracker whose habit is the last part of the path; a process each answer, so
# that none waits for another.

sub tracker {
	my ($port, $peer) = @_;

	my ($host, $peer_port) = split /:/, $peer;
	my $server = IO::Socket::INET->new(
		Proto => 'tcp',
		LocalAddr => "127.0.0.1:$port",
		Listen => 50,
		ReuseAddr => 1,
	) or die "Can't listen on $port: $!\n";

	my $found = 'd8:intervali1800e5:peers6:'
		. pack('C4 n', split(/\./, $host), $peer_port) . 'e';
	my $ok = "HTTP/1.0 200 OK\x0d\x0a\x0d\x0a";
	my %answers = (
		good => "$ok$found",
		noise => $ok . join('', map { chr rand 256 } 1 .. 5000),
		error => "HTTP/1.0 500 Broken\x0d\x0a\x0d\x0abroken",
		refuse => "${ok}d14:failure reason7:go awaye",
		redirect => "HTTP/1.0 302 Found\x0d\x0aLocation: $base/good"
			. "\x0d\x0a\x0d\x0a",
		loop => "HTTP/1.0 302 Found\x0d\x0aLocation: $base/loop"
			. "\x0d\x0a\x0d\x0a",
	);

	$SIG{CHLD} = 'IGNORE';

	while (1) {
		my $client = $server->accept() or next;

		next if fork();

		close $server;
		$SIG{PIPE} = 'DEFAULT';
		alarm 60;

		my $line = <$client> || '';
		my ($habit) = $line =~ m{^GET /announce/(\w+)};

		$habit ||= 'close';

		# until the client goes
		1 while $habit eq 'hang' && sysread $client, $line, 4096;

		if ($habit eq 'endless') {
			print $client $ok, 'd5:peers2000000000:';
			print $client 'x' x 65536 while 1;
		}

		print $client $answers{$habit} || '';
		exit 0;
	}
}
