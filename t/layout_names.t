#!/usr/bin/perl

# Tests for layout=files: names that cannot be files, links in the way, when the
# files go, uploads, and a directory that another layout was used in.

use warnings;
use strict;

use Digest::SHA qw/ sha1_hex sha256_hex /;
use File::Path qw/ mkpath /;
use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content /;
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
            confluence_wait_timeout 10s;
        }

        location /upload {
            confluence upload;
        }
    }
}

EOF
};

my $hash = 'h' x 20;

my @refused = (
	[ 'path ".."', files([ 100, '..', '..', 'etc', 'passwd' ]), '".."' ],
	[ 'path "."', files([ 100, 'a', '.', 'b' ]), '".."' ],
	[ 'path with "/../"', files([ 100, 'a/../../../b' ]), '".."' ],
	[ 'absolute path', files([ 100, '/etc/passwd' ]), 'empty component' ],
	[ 'empty component', files([ 100, 'a', '', 'b' ]), 'empty component' ],
	[ 'zero byte', files([ 100, "a\0b" ]), 'zero byte' ],
	[ 'zero byte in the name', single("a\0b"), 'zero byte' ],
	[ 'name of 256 bytes', single('n' x 256), 'too long' ],
	[ 'component of 256 bytes', files([ 100, 'd', 'x' x 256 ]), 'too long' ],
	[ '2000 components', files([ 100, ('d') x 1500 ]), 'too many' ],
	[ 'path of 5000 bytes', files([ 100, ('d' x 200) x 25 ]), 'too long' ],
	[ 'a path twice', files([ 50, 'a' ], [ 20, 'b' ], [ 30, 'a' ]), 'twice' ],
	[ 'file and folder', files([ 50, 'a' ], [ 20, 'a-' ], [ 30, 'a', 'b' ]),
		'a file and a folder' ],
);

my @taken = (
	[ 'name of 255 bytes', single('n' x 255) ],
	[ 'dots', files([ 50, '...' ], [ 50, '.a', '..b' ]) ],
	[ 'names that begin alike', files([ 50, 'a' ], [ 20, 'a-' ],
		[ 30, 'ab', 'a' ]) ],
);

my $single = $c->torrent('single.bin', size => $mb);
my $many = $c->torrent('many', files => [ [ 'a/x', 50000 ], [ 'y', 70000 ] ]);
my $late = $c->torrent('late.bin', size => $mb);
my $seed = $c->seed_libtorrent([ $single, $many, $late ]);

$conf->(cache_path => "$dir/cache layout=files", torrent_grace => '1h');

$t->run()->plan(@refused + @taken + 23);

# names

for my $case (@refused) {
	my ($name, $info, $wrong) = @$case;

	like(metainfo($info), qr/ 400 .*\x0d\x0a\x0d\x0atorrent\ cannot\ be\ kept
		\ as\ files:[^\x0a]*\Q$wrong\E[^\x0a]*\x0a$/sx, "refused: $name");
}

for my $case (@taken) {
	my ($name, $info) = @$case;

	is(http_content(metainfo($info)), sha1_hex($info) . "\n",
		"taken: $name");
}

my $absurd = { file => "$dir/absurd.torrent", dir => $dir,
	ih => sha1_hex($refused[0][1]) };
Test::Confluence::spew($absurd->{file}, "d4:info$refused[0][1]e");
my $peer = $c->seed_scripted($absurd);
my $r = $c->fetch($c->url($absurd, peers => [ $peer ], path => 'a'));
is($r->{status}, 502, 'from a peer, refused');
like($r->{body}, qr/cannot be kept as files/, 'from a peer, told why');
$peer->stop();

# links that somebody has made

my $outside = "$dir/outside";
mkpath("$outside/a");
Test::Confluence::spew("$outside/secret", 'secret');

mkpath($c->files_root($many));
symlink($outside, $c->files_root($many) . '/many');
mkpath($c->files_root($single));
symlink("$outside/secret", $c->files_root($single) . '/single.bin');

for my $torrent ($many, $single) {
	$r = $c->fetch($c->url($torrent, peers => [ $seed ]));
	is($r->{status}, 500, "$torrent->{name}, a link in the way");
}

is_deeply([ sort map { s!.*/!!r } glob("$outside/* $outside/a/*") ],
	[ 'a', 'secret' ], 'nothing is made behind it');
is(Test::Confluence::slurp("$outside/secret"), 'secret', 'nor written');

unlink $c->files_root($many) . '/many',
	$c->files_root($single) . '/single.bin';

for my $torrent ($many, $single) {
	$r = $c->fetch($c->url($torrent, peers => [ $seed ]));
	is($r->{sha256}, sha256_hex($torrent->{whole}),
		"$torrent->{name}, without it");
}

# one that took the place of a file while nginx was down

$t->stop();

unlink $c->files_root($single) . '/single.bin';
symlink("$outside/secret", $c->files_root($single) . '/single.bin');
unlink $c->files_root($many) . '/many/y';

$t->run();

for my $torrent ($many, $single) {
	$r = $c->fetch($c->url($torrent, peers => [ $seed ]));
	is($r->{sha256}, sha256_hex($torrent->{whole}),
		"$torrent->{name}, a file replaced, fetched again");
}

is(Test::Confluence::slurp("$outside/secret"), 'secret',
	'a link that was replaced');

# what a client brings

Test::Confluence::spew("$dir/up", my $up = $c->bytes(20 * $mb + 11, 'up'));

$r = $c->fetch({ url => '/upload', timeout => 30, args => [
	'-F', 'name=brought', '-F', "files=\@$dir/up;filename=a/up",
	'-F', "files=\@$dir/up;filename=b" ] });
is($r->{status}, 200, 'uploaded');

my ($info) = $r->{body} =~ /4:info(d.*?e)(?:5:nodesl.*e)?e\z/s;
my $brought = { ih => sha1_hex($info) };

for my $path ('a/up', 'b') {
	$r = $c->fetch($c->url($brought, path => $path));
	is($r->{sha256}, sha256_hex($up), "uploaded, $path");
}

is(join(' ', sort map { s!.*/brought/!!r } $c->files($brought)), 'a/up b',
	'uploaded, the files');

# the other layout, with what is there

$t->stop();
$conf->(cache_path => "$dir/cache", torrent_grace => '1h');
$t->run();

$r = $c->fetch($c->url($many));
is($r->{sha256}, sha256_hex($many->{whole}), 'in files, served');

$r = $c->fetch($c->url($late, peers => [ $seed ]));
is($r->{sha256}, sha256_hex($late->{whole}), 'in segments, served');
ok(!-d $c->files_root($late), 'in segments, no files');

# back, and the files go with their torrents

$t->stop();
$conf->(cache_path => "$dir/cache layout=files", torrent_grace => '1s');
$t->run();

# one that is served without the engine is not loaded, and stays

Test::Confluence::wait_for(sub { http_get('/health') =~ / 200 OK/ }, 20,
	'healthy');

for my $torrent ($many, $late) {
	$r = $c->fetch($c->url($torrent));
	is($r->{sha256}, sha256_hex($torrent->{whole}),
		"$torrent->{name}, served again");
}

Test::Confluence::wait_for(sub { !-e $c->files_root($many) }, 20, 'gone');
ok(!-e $c->files_root($many), 'dropped, the files are gone');
Test::Confluence::wait_for(sub { !glob("$dir/cache/trash/*") }, 20, 'trash');
ok(!glob("$dir/cache/trash/*"), 'dropped, and removed');

# of somebody else

$t->stop();
mkpath("$dir/cache/files/" . 'ab' x 20 . '/x');
$t->run();

Test::Confluence::wait_for(sub { !-e "$dir/cache/files/" . 'ab' x 20 }, 20,
	'removed');
ok(!-e "$dir/cache/files/" . 'ab' x 20, 'of no torrent, removed');

sub metainfo {
	my ($info) = @_;

	return http('POST /metainfo HTTP/1.0' . "\x0d\x0aContent-Length: "
		. (length($info) + 8) . "\x0d\x0a\x0d\x0ad4:info${info}e");
}

sub single {
	my ($name) = @_;

	return Test::Confluence::bencode({ name => $name, length => \100,
		'piece length' => \16384, pieces => $hash });
}

sub files {
	return Test::Confluence::bencode({ name => 'n', 'piece length' => \16384,
		pieces => $hash, files => [ map { my ($length, @path) = @$_;
			{ length => \$length, path => \@path } } @_ ] });
}
