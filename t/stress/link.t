#!/usr/bin/perl

# The only peer is behind a line of 20 Mbit/s, 50 ms each way, 1 % loss: a stream
# takes what TCP gets through it, and does not stand still for longer than it
# does for a plain download.

use warnings;
use strict;

use FindBin;
use List::Util qw/ max /;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Confluence::Namespace;
use Test::Nginx qw/ :DEFAULT /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $wire = $c->wire(20000000, 50, 10000);
my $mb = 1024 * 1024;

my $conf = $c->conf(listen => '10.98.0.1:' . Test::Confluence::free_port());

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
        }
    }
}

EOF

$t->plan(10);

# what TCP gets through, as a measure

my $torrent = $c->torrent('a.bin', size => 24 * $mb, piece => 262144);
my $port = Test::Confluence::free_port();
my $server = $c->spawn([ @$wire, '/usr/bin/python3', '-m', 'http.server',
	'--bind', '10.98.0.2', '--directory', $torrent->{dir}, $port ]);
Test::Confluence::wait_port("10.98.0.2:$port");

my $plain = timed({ address => "10.98.0.2:$port", url => '/a.bin',
	file => Test::Confluence::file_of($torrent) });
$server->stop();

told('plain download', $plain);
is($plain->{complete}, 1, 'plain download');

# whoever has it behind the same line

my $seed = $c->seed_libtorrent($torrent, by => $wire,
	address => '10.98.0.2:' . Test::Confluence::free_port());

$t->run();

my $r = timed({ torrent => $torrent, peers => [ $seed ] });

told('cold', $r);
is($r->{complete}, 1, 'complete');
is($r->{wrong}, 0, 'right');

# a piece is not there before all of its blocks are: a lost one is waited for
# with it

my $limit = 2 * ($plain->{stall} + 262144 / $plain->{speed}) + 0.5;

cmp_ok($r->{speed}, '>', $plain->{speed} / 2, 'half as fast at least');
cmp_ok($r->{stall}, '<', $limit, 'no stall that the line does not explain');
cmp_ok($r->{first}, '<', $limit + 1, 'first byte in time');

# what is cached does not know of the line

$r = timed({ torrent => $torrent });
told('hot', $r);
cmp_ok($r->{speed}, '>', 3 * $plain->{speed}, 'hot');

# seeks of a player, each to where nothing is yet, while another reads

$seed->stop();
$torrent = $c->torrent('b.bin', size => 48 * $mb, piece => 262144, seed => 1);
$seed = $c->seed_libtorrent($torrent, by => $wire,
	address => '10.98.0.2:' . Test::Confluence::free_port());

my @seeks = map { {
	torrent => $torrent, peers => [ $seed ], start => 4 * $_,
	first => (40 - 8 * $_) * $mb, last => (41 - 8 * $_) * $mb - 1,
} } 1 .. 4;
my $streams = $c->streams(@seeks,
	{ torrent => $torrent, peers => [ $seed ], until => 4 * $mb });

$r = $streams->report();
diag('seeks: ' . Test::Confluence::Streams::summary($r));

is($r->{complete}, 4, 'seeks');
is($r->{left}, 1, 'who reads on');
cmp_ok(max($r->{stall}, $r->{first}), '<', $limit + 1,
	'no stall of seeks that the line does not explain');

# One stream; its report with its speed in bytes per second.

sub timed {
	my ($client) = @_;

	my $begun = Time::HiRes::time();
	my $r = $c->streams($client)->report(300);

	$r->{speed} = $r->{bytes} / (Time::HiRes::time() - $begun);

	return $r;
}

sub told {
	my ($what, $r) = @_;

	diag(sprintf '%s: %.2f MiB/s, longest stall %.2fs, first byte %.2fs',
		$what, $r->{speed} / $mb, $r->{stall}, $r->{first});
}
