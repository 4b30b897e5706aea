#!/usr/bin/perl

# Tests for what bounds the traffic with peers: a blocklist in its three forms,
# rates, the number of connections, and what trackers are told of our address.

use warnings;
use strict;

use FindBin;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/ time /;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my $mb = 1024 * 1024;

my $tracker = 'http://127.0.0.1:' . port(8081) . '/announce';
my @torrents = map { $c->torrent("f$_.bin", size => 100000, seed => "f$_") }
	1 .. 3;
my $big = $c->torrent('big.bin', size => 4 * $mb, piece => 65536);
my $told = $c->torrent('told.bin', size => 100000, trackers => [ $tracker ]);
my $seed = $c->seed_libtorrent([ @torrents, $big ]);
my ($address) = $seed->{address} =~ /^(.*):/;

my $packed = pack('Q<', 1)
	. ("\0" x 10 . "\xff\xff" . pack('C4', split /\./, $address)) x 2
	. pack('Q<L<', 0, 0);

$t->write_file('list', "$address\n");
conf(blocklist => "$dir/list");
$t->run_daemon(\&tracker, port(8081), "$dir/told.log");
$t->run()->plan(13);
$t->waitforsocket('127.0.0.1:' . port(8081));

# the blocklist

is(get($torrents[0]), 504, 'a line with an address');
reload_with("$address.example:192.0.2.1-192.0.2.9\n");
is(get($torrents[0]), 200, 'others are allowed after a reload');
reload_with("some:name:$address-$address\n");
is(get($torrents[1]), 504, 'P2P text');
reload_with($packed);
is(get($torrents[1]), 504, 'packed');
reload_with("127.0.0.0/8\n");
is(get($torrents[1]), 504, 'prefix');
reload_with('');
is(get($torrents[1]), 200, 'an empty list');

# rates

$t->stop();
conf(download_rate => '1m');
$t->run();

my $start = time();
my $r = $c->fetch($c->url($big, route => '/patient/data', peers => [ $seed ]));

ok($r->{body} eq $big->{whole}, 'limited, data');
cmp_ok(time() - $start, '>=', 2, 'not faster than the rate');

$t->stop();
conf(upload_rate => '512k', seed => 'on', torrent_grace => 'off');
$t->run();
http_get($c->url($big, route => '/info'));
$start = time();
$r = $c->leech($big->{file}, peers => [ $c->{listen} ]);

is($r->{progress}, 1, 'uploaded');
cmp_ok(time() - $start, '>=', 4, 'not faster than the rate');

# connections

$t->stop();
conf(max_connections => 2, torrent_grace => 'off');
$t->run();

my @peers = map { $c->seed_scripted($torrents[2]) } 1 .. 8;
http_get($c->url($torrents[2], route => '/data', peers => \@peers));
my ($n) = http_get('/status') =~ /(\d+) peer conns/;

ok(defined $n && $n > 0 && $n <= 3, 'connections are limited')
	or diag(http_get('/status'));

# what trackers are told

$t->stop();
conf(public_ip => '192.0.2.7 2001:db8::7');
$t->run();
http_get($c->url($told, route => '/data', trackers => [ $tracker ]));

my $log = Test::Confluence::wait_for(sub {
	-f "$dir/told.log" && Test::Confluence::slurp("$dir/told.log")
}, 30, 'announce');

like($log, qr/\bip=192\.0\.2\.7\b/, 'the public address is told');
like($log, qr/\bport=\d+/, 'and the port');

sub conf {
	my (%o) = @_;

	my $conf = $c->conf(torrent_grace => '0s', %o);

	$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
            confluence_wait_timeout 1500ms;
        }

        location /patient/ {
            confluence;
            confluence_wait_timeout 30s;
        }
    }
}

EOF
}

sub get {
	my ($torrent) = @_;

	return $c->fetch($c->url($torrent, peers => [ $seed ]))->{status};
}

sub reload_with {
	my ($list) = @_;

	my $n = engines();

	$t->write_file('list', $list);
	$t->reload();
	Test::Confluence::wait_for(sub { engines() > $n }, 10, 'a new engine');
}

sub engines {
	my @lines = $t->read_file('error.log') =~ /(confluence engine started)/g;

	return scalar @lines;
}

sub tracker {
	my ($port, $log) = @_;

	my $server = IO::Socket::INET->new(
		Proto => 'tcp',
		LocalAddr => "127.0.0.1:$port",
		Listen => 20,
		ReuseAddr => 1,
	) or die "Can't listen on $port: $!\n";

	while (my $client = $server->accept()) {
		my $line = <$client>;

		if (defined $line && $line =~ /^GET (\S+)/) {
			open my $fh, '>>', $log or die "Can't open log: $!\n";
			print $fh "$1\n";
			close $fh;
		}

		print $client "HTTP/1.0 200 OK\x0d\x0a\x0d\x0a"
			. 'd8:intervali1800e5:peers0:e';
	}
}
