#!/usr/bin/perl

# Tests for confluence_scrub: bytes that change on the disk are found, their
# segment is set aside and fetched again.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $conf = sub {
	my (%o) = @_;

	$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf(%o)/er);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    server {
        listen       127.0.0.1:8080 sndbuf=64k;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF
};

my $dir = $t->testdir();
my $mb = 1024 * 1024;
my $piece = 256 * 1024;

my @torrents = map {
	$c->torrent("t$_.bin", size => ($_ == 1 ? 20 : 6) * $mb + 1000,
		piece => $piece, seed => $_, kind => $_ == 2 ? 'v2' : 'v1')
} 0 .. 2;

my $many = $c->torrent('many', piece => $piece, files => [
	[ 'a.bin', 300000 ], [ 'b.bin', 300001 ] ]);
my $seed = $c->seed_libtorrent([ @torrents, $many ]);

$conf->();
$t->run()->plan(26);

fetched($_) for @torrents;

# nothing is read when it is off

my $first = segment($torrents[0], 0);

$t->stop();
Test::Confluence::flip($first, 3 * $piece);
$t->run();

ok($c->fetch({ url => $c->url($torrents[0]), args => [ '-r',
	3 * $piece + 1 . '-' . (3 * $piece + 10) ] })->{body}
	eq substr($torrents[0]{whole}, 3 * $piece + 1, 10), 'off: served');
is(() = corrupt(), 0, 'and nothing is looked for');

# a round finds it; no peer is needed for that

$t->stop();
$seed->stop();
$conf->(scrub => '100m interval=500ms');
$t->run();

wait_corrupt(1);
is((corrupt())[0], qq{torrent "$torrents[0]{ih}": piece 3}, 'found');
ok(!-e $first, 'its segment is set aside');

my $r = $c->fetch({ url => $c->url($torrents[0]), args => [ '-r',
	3 * $piece . '-' . (3 * $piece + 9) ], timeout => 2 });
is($r->{size}, 0, 'and not served any more');
$r = $c->fetch({ url => $c->url($torrents[0]), args => [ '-r',
	4 * $mb . '-' ] });
ok($r->{body} eq substr($torrents[0]{whole}, 4 * $mb), 'others are');

$seed = $c->seed_libtorrent(\@torrents);
fetched($torrents[0]);

# under a reader that is not there yet

my $s = http_get($c->url($torrents[1], peers => [ $seed ]), start => 1);

$s->blocking(1);
read($s, my $head, 1000);

Test::Confluence::flip(segment($torrents[1], 4), 17);
wait_corrupt(2);
is((corrupt())[1], qq{torrent "$torrents[1]{ih}": piece 64},
	'found while it is read');

my $rest = do { local $/; <$s> };
ok(http_content($head . $rest) eq $torrents[1]{whole},
	'the response goes on with the right bytes');

# v2, the last piece, which is short; a file that is cut; one that is missing

Test::Confluence::flip(segment($torrents[2], 1), 8 * $piece + 999);
wait_corrupt(3);
is((corrupt())[2], qq{torrent "$torrents[2]{ih}": piece 24}, 'v2');

truncate segment($torrents[2], 0), $piece;
wait_corrupt(4);
is((corrupt())[3], qq{torrent "$torrents[2]{ih}": piece 1}, 'cut short');

unlink segment($torrents[1], 0);
wait_corrupt(5);
like((corrupt())[4], qr/"$torrents[1]{ih}": piece (\d|1[0-5])$/, 'missing');

fetched($_) for @torrents;

# the file of another torrent in its place; it is not one of its own

rename segment($torrents[0], 1), segment($torrents[1], 1);
wait_corrupt(7);
pass('moved');

# without metainfo a torrent is passed over, others are not

$t->stop();
unlink "$dir/cache/metainfo/$torrents[2]{ih}.torrent";
Test::Confluence::flip(segment($torrents[2], 0), 0);
Test::Confluence::flip(segment($torrents[1], 0), 0);
$t->run();
wait_corrupt(8);
is((corrupt())[7], qq{torrent "$torrents[1]{ih}": piece 0},
	'metainfo is missing');
is(() = corrupt(), 8, 'nothing else was found');

# in the layout of files all of the torrent is one segment

$t->stop();
unlink glob "$dir/cache/pieces/$torrents[2]{ih}/*";
$seed = $c->seed_libtorrent([ @torrents, $many ]);
$conf->(cache_path => "$dir/cache max_size=64m layout=files",
	scrub => '100m interval=500ms');
$t->run();

fetched($many);

my $file = "$dir/cache/files/$many->{ih}/many/b.bin";
open my $old, '<', $file or die "Can't open $file: $!\n";

Test::Confluence::flip($file, 300000);
wait_corrupt(9);
is((corrupt())[8], qq{torrent "$many->{ih}": piece 2}, 'files');
fetched($many);
isnt((stat $file)[1], (stat $old)[1], 'made anew');
ok(Test::Confluence::slurp($file) eq $many->{data}{'b.bin'}, 'and right');

sub fetched {
	my ($torrent) = @_;

	ok($c->fetch($c->url($torrent, peers => [ $seed ]))->{body}
		eq $torrent->{whole}, "$torrent->{name} fetched");
}

sub corrupt {
	return $t->read_file('error.log')
		=~ /\[crit\] .*?(torrent "\w+": piece \d+) is corrupt/g;
}

sub wait_corrupt {
	my ($n) = @_;

	Test::Confluence::wait_for(sub {
		my @found = corrupt();
		@found >= $n
	}, 20, "found $n");
}

sub segment {
	my ($torrent, $n) = @_;

	return (glob "$dir/cache/pieces/$torrent->{ih}/$n.*")[0];
}
