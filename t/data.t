#!/usr/bin/perl

# Tests for /data: bodies, headers, names of files.

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

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    types {
        text/plain  txt;
        image/png   png;
    }

    default_type  application/octet-stream;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }

        location /plain/ {
            rewrite ^/plain(.*) $1 break;
            confluence data;
            confluence_etag off;
        }
    }
}

EOF

my ($f1, $f2) = $c->fixtures();

my $names = $c->torrent('names', files => [
	[ 'a+b.txt', \'plus' ],
	[ '100%.txt', \'percent' ],
	[ "\xc3\xa4\xe2\x82\xac.txt", \'unicode' ],
	[ "raw\xff.txt", \'raw' ],
	[ 'sp ace.png', \'space' ],
	[ 'X.PNG', \'upper' ],
	[ "q\"uo\\te.txt", \'quote' ],
	[ "new\nline.txt", \'newline' ],
	[ 'deep/er/x.txt', \'deep' ],
	[ 'none', \'no extension' ],
]);

my $single = $c->torrent('single.png', content => 'x' x 100000,
	meta => { 'creation date' => \1000000000 });
my $plain = $c->torrent('plain', content => 'y' x 100);

my $seed = $c->seed_libtorrent([ $f1, $f2, $single, $plain ]);

# libtorrent would look for these under names that it likes better
my $raw = $c->seed_scripted($names);

$t->run()->plan(70);

my $r;

# bring them in

for my $torrent ($f1, $f2, $names, $single, $plain) {
	$r = http_get($c->url($torrent, peers => [ $seed, $raw ]));
	is(http_content($r), $torrent->{whole}, "$torrent->{name} whole");
}

# headers

$r = get($f1, path => 'hello.txt');
like($r, qr!^HTTP/1.1 200 OK!, 'file');
like($r, qr/^Content-Length: 19\x0d$/m, 'length');
like($r, qr!^Content-Type: text/plain\x0d$!m, 'type by extension');
like($r, qr/^Accept-Ranges: bytes\x0d$/m, 'ranges accepted');
like($r, qr/^Content-Disposition: filename="hello.txt"\x0d$/m, 'disposition');
like($r, qr/^ETag: "[^"]+"\x0d$/m, 'strong etag');
like($r, qr/^Cache-Control: public, max-age=31536000, immutable\x0d$/m,
	'cache control');
unlike($r, qr/^Last-Modified:/m, 'no date is made up');
unlike($r, qr/^Access-Control-/mi, 'no cors');
unlike($r, qr/^X-Content-Type-Options:/m, 'nosniff is for errors');
is(http_content($r), "Hello, confluence!\n", 'body');

$r = get($f1);
like($r, qr/ 200 OK/, 'whole');
unlike($r, qr/^Content-Disposition:/m, 'whole has no disposition');

$r = get($single, path => 'single.png');
like($r, qr!^Content-Type: image/png\x0d$!m, 'single file type');
like(get($single), qr!^Content-Type: image/png\x0d$!m,
	'type of the whole by its name');

like(get($plain), qr!^Content-Type: application/octet-stream\x0d$!m,
	'no extension');

isnt(etag(get($f2, path => 'dir/a.bin')), etag(get($f2, path => 'dir/b.txt')),
	'etags of files differ');
isnt(etag(get($f2)), etag(get($f2, path => 'dir/a.bin')),
	'etags of a file and the whole differ');
isnt(etag(get($f2)), etag(get($f1)), 'etags of torrents differ');

$r = http_get("/plain/data?ih=$f1->{ih}&path=hello.txt");
like($r, qr/ 200 OK/, 'etag off');
unlike($r, qr/^(?:ETag|Cache-Control|Last-Modified):/m, 'no validators');

# no such file

for my $path ('fx1', '', 'hello', 'hello.txt/', '/hello.txt', 'Hello.txt',
	'./hello.txt', 'hello.txt ')
{
	$r = get($f1, path => $path);
	like($r, qr/ 404 .*\x0d\x0a\x0d\x0afile not found\x0a$/s,
		"no \"$path\"");
}

like(get($f1, path => 'nope'), qr/^Content-Disposition: filename="nope"/m,
	'disposition of 404');

for my $path ('dir', 'dir/', '/dir/b.txt', 'dir/B.TXT') {
	like(get($f2, path => $path), qr/ 404 /, "no \"$path\"");
}

# files of a directory

is(http_content(get($f2, path => 'dir/b.txt')), '0123456789', 'in a directory');
like(get($f2, path => 'dir/b.txt'),
	qr!^Content-Disposition: filename="dir/b.txt"\x0d$!m,
	'disposition in a directory');
is(http_content(http_get("/data?ih=$f2->{ih}&path=dir/b.txt")), '0123456789',
	'slash not escaped');
is(http_content(get($f2, path => 'dir/a.bin')), $f2->{data}{'dir/a.bin'},
	'several pieces');

$r = get($f2, path => 'dir/empty.dat');
like($r, qr/ 200 OK.*^Content-Length: 0\x0d$/ms, 'empty file');
is(http_content($r), '', 'empty body');

# infohash in the path

my $base = "/data/infohash/$f2->{ih}";

is(http_content(http_get("$base/dir/b.txt")), '0123456789', 'path');
is(http_content(http_get("$base/dir%2Fb.txt")), '0123456789', 'path escaped');
is(http_content(http_get($base)), $f2->{whole}, 'path whole');
is(http_content(http_get("$base/")), $f2->{whole}, 'path whole with slash');
like(http_get("$base/dir/b.txt/"), qr/ 404 .*file not found/s,
	'path with trailing slash');

# filename

like(get($f1, path => 'hello.txt', filename => 'x"y.txt'),
	qr/^Content-Disposition: filename="x\\"y.txt"\x0d$/m, 'filename');
like(get($f1, path => 'hello.txt', filename => ''),
	qr/^Content-Disposition: filename=""\x0d$/m, 'empty filename');
like(get($f1, filename => 'z'), qr/^Content-Disposition: filename="z"\x0d$/m,
	'filename of the whole');
$r = get($f1, filename => "a\x0d\x0aSet-Cookie: b");
like($r, qr/^Content-Disposition: filename="a\\r\\nSet-Cookie: b"\x0d$/m,
	'control bytes are escaped');
unlike($r, qr/^Set-Cookie/m, 'no header is injected');

# odd names

for my $path (@{ $names->{paths} }) {
	is(http_content(get($names, path => $path)), $names->{data}{$path},
		'file ' . Test::Confluence::escape($path));
}

is(http_content(http_get("/data/infohash/$names->{ih}/a+b.txt")), 'plus',
	'plus is literal in a path');
like(http_get("/data?ih=$names->{ih}&path=a+b.txt"), qr/ 404 /,
	'plus is a space in a query');
like(get($names, path => 'X.PNG'), qr!^Content-Type: image/png!m,
	'extension in upper case');

# methods

$r = http_head($c->url($f1, path => 'hello.txt'));
like($r, qr/ 200 OK.*^Content-Length: 19\x0d$/ms, 'head');
is(http_content($r), '', 'head has no body');

sub get {
	my ($torrent, %o) = @_;

	return http_get($c->url($torrent, %o));
}

sub etag {
	my ($r) = @_;

	return $r =~ /^ETag: (\S+)\x0d$/m ? $1 : '';
}
