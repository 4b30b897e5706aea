#!/usr/bin/perl

# Tests for layout=files: the torrent's own files in the cache directory, as
# confluence has them with -fileDir.

use warnings;
use strict;

use Digest::SHA qw/ sha256_hex /;
use FindBin;
use IO::Select;
use IO::Socket::INET;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my $mb = 1024 * 1024;

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
        listen       127.0.0.1:8080;
        server_name  localhost;

        client_max_body_size 0;

        location / {
            confluence;
        }
    }

    server {
        listen       127.0.0.1:8081;
        server_name  localhost;

        limit_rate   64k;

        location / {
            confluence;
        }
    }
}

EOF
};

# pieces that span files, files that span pieces, files of no length at both
# ends

my $many = $c->torrent('many', piece => 32768, files => [
	[ 'empty at first', \'' ],
	[ 'a/one.bin', 100000 ],
	[ 'a/two.bin', 10 ],
	[ 'a/b/three.bin', 7 ],
	[ 'a/nothing', \'' ],
	[ 'big.bin', 3 * $mb + 17 ],
	[ "name \xc3\xa4 #?%.txt", 40000 ],
	[ 'z', \'' ],
]);

my $pad = "\0" x 12768;
my $padded = $c->torrent('padded', piece => 16384, files => [
	[ 'x.bin', 20000 ], [ '.pad/12768', \$pad ], [ 'y.bin', 50001 ] ],
	info => { files => [
		{ length => \20000, path => [ 'x.bin' ] },
		{ length => \12768, path => [ '.pad', '12768' ], attr => 'p' },
		{ length => \50001, path => [ 'y.bin' ] } ] });

my $single = $c->torrent('single.bin', size => 5 * $mb + 1,
	piece => 262144);
my $other = $c->torrent('other.bin', size => 9 * $mb, piece => 262144);
my $large = $c->torrent('large.bin', size => 20 * $mb, piece => 262144);
my $hybrid = $c->torrent('hybrid', kind => 'hybrid', piece => 16384, files => [
	[ 'x.bin', 20000 ], [ 'y.bin', 50001 ] ]);
my $v2 = $c->torrent('v2', kind => 'v2', piece => 16384, files => [
	[ 'x.bin', 20000 ], [ 'y.bin', 70001 ] ]);
my @torrents = ($many, $padded, $single, $other, $large, $hybrid, $v2);
my $seed = $c->seed_libtorrent(\@torrents);

$conf->(
	cache_path => "$dir/cache max_size=16m layout=files",
	torrent_grace => '1h',
);

$t->run()->plan(54);

# data, whole and in parts

my $r = $c->fetch($c->url($many, peers => [ $seed ]));
is($r->{sha256}, sha256_hex($many->{whole}), 'whole torrent');

for my $path (@{ $many->{paths} }) {
	$r = $c->fetch($c->url($many, path => $path));
	is($r->{sha256}, sha256_hex($many->{data}{$path}),
		'file "' . ($path =~ s/[^ -~]/?/gr) . '"');
}

for my $range ([ 99990, 100030 ], [ 0, 0 ], [ 65530, 131080 ],
	[ 100000, 100016 ])
{
	my ($from, $to) = @$range;

	$r = $c->fetch({ url => $c->url($many), args => [ '-r', "$from-$to" ] });
	is($r->{sha256}, sha256_hex(substr($many->{whole}, $from,
		$to - $from + 1)), "range $from-$to");
}

my $states = $c->fetch($c->url($many, route => '/fileState',
	path => 'big.bin'))->{body};
my $complete = () = $states =~ /"Complete":true/g;
is($complete, 97, 'state of a file');

# what it looks like

my $root = $c->files_root($many);

for my $path (@{ $many->{paths} }) {
	my $file = "$root/many/$path";

	ok(-f $file && Test::Confluence::slurp($file) eq $many->{data}{$path},
		'a plain file with its content');
}

is(scalar($c->files($many)), @{ $many->{paths} }, 'no other files');

# files of padding

for my $torrent ($padded, $hybrid, $v2) {
	$r = $c->fetch($c->url($torrent, peers => [ $seed ]));
	is($r->{sha256}, sha256_hex($torrent->{whole}),
		"$torrent->{name}, whole");

	is(scalar($c->files($torrent)), 2, "$torrent->{name}, no pads on disk");

	$r = $c->fetch({ url => $c->url($torrent), args => [ '-r', '-100' ] });
	is($r->{body}, substr($torrent->{whole}, -100),
		"$torrent->{name}, its end");
}

$r = $c->fetch({ url => $c->url($padded), args => [ '-r', '19990-32777' ] });
is($r->{sha256}, sha256_hex(substr($padded->{whole}, 19990, 12788)),
	'range with a pad inside');

# one file has no folder of the torrent's name

$r = $c->fetch($c->url($single, peers => [ $seed ]));
is($r->{sha256}, sha256_hex($single->{whole}), 'single file');
ok(-f $c->files_root($single) . '/single.bin', 'single file on disk');

# the limit: what was not read for long goes, as a whole

sleep(1) until time() > mtime($c->files_root($single) . '/single.bin');

$c->fetch({ url => $c->url($single), args => [ '-r', '0-0' ] });

$r = $c->fetch($c->url($other, peers => [ $seed ]));
is($r->{sha256}, sha256_hex($other->{whole}), 'another');
cmp_ok($c->files_used(), '<=', 16 * $mb, 'the limit holds');
ok(!-d $root, 'the oldest is gone');
ok(-d $c->files_root($single), 'the one that was read since is not');

$r = $c->fetch($c->url($many, path => 'a/one.bin', peers => [ $seed ]));
is($r->{sha256}, sha256_hex($many->{data}{'a/one.bin'}), 'evicted, and back');

# more than fits: it is cut where the cache is full of what is being read

$r = $c->fetch_peak({ url => $c->url($large, peers => [ $seed ]),
	timeout => 60 }, sub { $c->files_used() });
isnt($r->{error}, 0, 'larger than the cache, not all of it');
cmp_ok($r->{size}, '>', 10 * $mb, 'larger than the cache, what fits');
is($r->{body}, substr($large->{whole}, 0, $r->{size}),
	'larger than the cache, right bytes');
cmp_ok($r->{peak}, '<=', 16 * $mb, 'larger than the cache, the limit holds');
like($t->read_file('error.log'),
	qr/\Q$large->{ih}\E": the cache is full of what is being read/,
	'larger than the cache, logged');

# a reader that has all of it is a reader, too

$r = $c->fetch($c->url($other, peers => [ $seed ]));
is($r->{sha256}, sha256_hex($other->{whole}), 'all there');

my $slow = http_get($c->url($other), start => 1,
	socket => IO::Socket::INET->new('127.0.0.1:' . port(8081)));
ok(IO::Select->new($slow)->can_read(10), 'slow reader');

$r = $c->fetch({ url => $c->url($large, peers => [ $seed ]), timeout => 60 });
cmp_ok($r->{size}, '<', 8 * $mb, 'what is read is not evicted for another');
ok(-f $c->files_root($other) . '/other.bin', 'what is read stays');

sysread($slow, my $got, 65536);
my ($part) = $got =~ /\x0d\x0a\x0d\x0a(.*)/s;
ok(length $part && $part eq substr($other->{whole}, 0, length $part),
	'slow reader, right bytes');
close $slow;

# after a restart it is there, without peers

$t->stop();
$seed->stop();
$t->run();

$r = $c->fetch($c->url($other));
is($r->{sha256}, sha256_hex($other->{whole}), 'after a restart');

$c->kill_all();
$t->run();

$r = $c->fetch($c->url($other));
is($r->{sha256}, sha256_hex($other->{whole}), 'after kill -9');

# an upload that is there, and fits no second time while it is copied: what was
# reserved for the copy is free again

Test::Confluence::spew("$dir/upload.bin", $c->bytes(13 * $mb, 1));

$r = $c->fetch({ url => '/upload', args => [ '-F', 'name=upload.bin',
	'-F', "files=\@$dir/upload.bin" ] });
is($r->{status}, 507, 'no room for the copy of an upload');

my ($counted) = http_get('/status') =~ /^Cache: (\d+) bytes/m;

cmp_ok($counted - $c->files_used(), '<', $mb, 'nothing is counted for it');

sub mtime {
	my ($file) = @_;

	return (stat $file)[9];
}
