#!/usr/bin/perl

# Tests for /upload: a form with files becomes a torrent.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Digest::SHA qw/ sha1_hex /;

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_v2/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $conf = $c->conf(seed => 'on', public_ip => '192.0.2.1 2001:db8::1');

$t->write_file_expand('nginx.conf', <<'EOC' =~ s/%%CONFLUENCE%%/$conf/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    server {
        listen       127.0.0.1:8080;
        listen       127.0.0.1:8081 http2;
        server_name  localhost;

        client_max_body_size 200m;

        location / {
            confluence;
        }

        location /small/ {
            confluence;
            client_max_body_size 1k;
        }

        location = /bound {
            confluence upload;
            client_body_buffer_size 1k;
        }

        location = /mirrored {
            confluence upload;
            mirror /mirror;
        }

        location = /mirror {
            return 204;
        }
    }
}

EOC

$t->run()->plan(79);

my ($r, $info);

# what confluence makes of these

my ($f1, $f2, $f3) = $c->fixtures();

$r = upload(name('fx1'), file('hello.txt', "Hello, confluence!\n"));
like($r, qr!^HTTP/1.1 200 OK\x0d$!m, 'uploaded');
like($r, qr!^Content-Type: application/x-bittorrent\x0d$!m, 'type');
is(ih($r), '018fa960a3c86270661fe27cb2dc21102fa3bc59', 'infohash');
is(ih($r), $f1->{ih}, 'infohash of the fixture');

my $body = http_content($r);
my ($port) = $c->{listen} =~ /:(\d+)/;

like($body, qr/\Ad10:created\ by27:anacrolix\/confluence\ upload
	13:creation\ datei\d+e4:infod.*e
	5:nodesll9:192.0.2.1i${port}eel11:2001:db8::1i${port}eeee\z/sx,
	'keys of a .torrent');
my ($date) = $body =~ /datei(\d+)e/;
cmp_ok(abs($date - time()), '<', 60, 'creation date');

$r = http_get("/data?ih=$f1->{ih}&path=hello.txt");
like($r, qr/ 200 OK.*\x0d\x0a\x0d\x0aHello, confluence!\x0a\z/s, 'served');
like($r, qr/Content-Type: text\/plain/, 'served with its type');
is(http_content(http_get("/metainfo?ih=$f1->{ih}")) =~ /comment/
	? 1 : 0, 1, 'metainfo of it');
like(http_content(http_get("/metainfo?ih=$f1->{ih}")),
	qr/created by27:anacrolix\/confluence upload/, 'its maker is kept');

# as if the engine had not made the folder of uploads yet

Test::Confluence::wait_for(sub { rmdir $t->testdir() . '/cache/upload' }, 10,
	'no uploads');

# in any order

my @f2 = map { file($_, $f2->{data}{$_}) } @{ $f2->{paths} };

is(ih(upload(@f2, name('fx2'))), '291cc7961b7cc3b5595d9103fb9652c11519c01e',
	'name behind the files');
is(ih(upload(name('fx2'), @f2)), $f2->{ih}, 'name before the files');
is(ih(upload($f2[0], name('fx2'), field('name', 'other'), @f2[1, 2])),
	$f2->{ih}, 'the first name counts');
isnt(ih(upload(name('fx2'), @f2[1, 0, 2])), $f2->{ih},
	'the order of files counts');
is(ih(upload(name('fx2'), field('x', 'y'), "Content-Disposition: attachment"
	. "\x0d\x0a\x0d\x0az\x0d\x0a", field('files', 'no file'), @f2)),
	$f2->{ih}, 'other fields do not matter');
is(ih(upload(name('fx2'), map { s/; filename="(.*)"/; filename*=UTF-8''$1/r }
	@f2)), $f2->{ih}, 'encoded file names');

for my $path (@{ $f2->{paths} }) {
	ok(http_content(http_get($c->url($f2, path => $path)))
		eq $f2->{data}{$path}, "$path is right");
}

# one answer for a body of any form

is(ih(raw("POST /bound HTTP/1.0\x0d\x0a", form(name('fx2'), @f2))),
	$f2->{ih}, 'bound route, small buffers');
is(ih(chunked(form(name('fx2'), @f2), 1000)), $f2->{ih}, 'chunked');

# another module has read the body before, into memory and into a file

my $long = $c->torrent('long', files => [ [ 'long.bin', 300000 ] ]);
my @long = file('long.bin', $long->{data}{'long.bin'});

is(ih(raw("POST /mirrored HTTP/1.0\x0d\x0a", form(name('fx2'), @f2))),
	$f2->{ih}, 'read before');

my $mirrored = ih(raw("POST /mirrored HTTP/1.0\x0d\x0a",
	form(name('long'), @long)));

is($mirrored, ih(upload(name('long'), @long)), 'read before into a file');
ok(http_content(http_get("/data?ih=$mirrored&path=long.bin"))
	eq $long->{data}{'long.bin'}, 'read before into a file, served');

is(ih(chunked(form(name('fx2'), @f2), 7)), $f2->{ih}, 'small chunks');
is(ih(raw("POST /upload HTTP/1.0\x0d\x0a", "preamble\x0d\x0a"
	. form(name('fx2'), @f2) . 'epilogue')), $f2->{ih}, 'with preamble');

# strip-top-directory

my @strip = (name('fx2'), @f2, file('top', 'level'));
my $stripped = ih(upload(@strip, field('strip-top-directory', '')));

isnt($stripped, ih(upload(@strip)), 'stripped, another infohash');
is($stripped, ih(upload(field('strip-top-directory', 'false'), @strip)),
	'stripped, whatever the value');
is(http_content(http_get("/data?ih=$stripped&path=b.txt")), '0123456789',
	'stripped path');
is(http_content(http_get("/data?ih=$stripped&path=top")), 'level',
	'a file on top stays');

# nothing, and next to nothing

is(ih(upload(name('empty'))), '8e639dfb7106b8efce7c482b8a927a73e75f2e9e',
	'no files');
like(http_get('/data?ih=8e639dfb7106b8efce7c482b8a927a73e75f2e9e'),
	qr/ 200 OK.*Content-Length: 0/s, 'served without a byte');
$r = ih(upload(name(''), file('a', ''), file('b', '')));
like(http_get("/data?ih=$r&path=b"), qr/ 200 OK.*Content-Length: 0/s,
	'files without a byte, no name');
$r = ih(upload(name('x'), file("a+b \xff\"%", 'odd') =~ s/"%/\\"%/r));
is(http_content(http_get("/data?ih=$r&path=a%2Bb%20%ff%22%25")), 'odd',
	'odd name');

# lengths of pieces, and content that looks like the end of a part

my $odd = ("\x0d\x0a--boundary" . "\x0d\x0a--bounds" . "\x0d") x 20000;
$r = ih(upload(name('odd'), file('odd', $odd), file('next', 'x')));
ok(http_content(http_get("/data?ih=$r&path=odd")) eq $odd, 'odd content');

for my $x ([ 33554431, 16384 ], [ 33554432, 32768 ], [ 67108864, 65536 ]) {
	my $file = $t->testdir() . '/sparse';

	truncate_to($file, $x->[0]);
	$r = $c->fetch({ url => '/upload', args => [ '-F', 'name=sparse',
		'-F', "files=\@$file;filename=d/sparse" ] });
	is(piece_length($r->{body}), $x->[1], "pieces of $x->[0] bytes");
}

is($r->{status}, 200, 'by curl');
my $sparse = ih_of($r->{body});
is($c->fetch({ url => "/data?ih=$sparse&path=d%2fsparse",
	args => [ '-r', '67108800-' ] })->{body}, "\0" x 64, 'end of it');

# other programs

SKIP: {
	skip 'no python3-requests', 1
		if system("/usr/bin/env python3 -c 'import requests' 2>/dev/null");

	my $script = $t->testdir() . '/upload.py';
	Test::Confluence::spew($script, <<'EOP');
import sys, requests
files = [('files', (path, open(file, 'rb')))
    for path, file in zip(sys.argv[2::2], sys.argv[3::2])]
r = requests.post(sys.argv[1], data={'name': 'fx2'}, files=files)
r.raise_for_status()
sys.stdout.buffer.write(r.content)
EOP
	my $out = do {
		open my $fh, '-|', 'python3', $script, 'http://127.0.0.1:'
			. port(8080) . '/upload', map { ($_,
			"$f2->{dir}/fx2/$_") } @{ $f2->{paths} }
			or die "Can't run python3: $!\n";
		binmode $fh;
		local $/;
		<$fh>;
	};

	is(ih_of($out), $f2->{ih}, 'by requests');
}

$r = $c->fetch({ url => 'http://127.0.0.1:' . port(8081) . '/upload',
	args => [ '--http2-prior-knowledge', '-F', 'name=sparse', '-F',
	'files=@' . $t->testdir() . '/sparse;filename=d/sparse' ] });
is(ih_of($r->{body}), $sparse, 'by HTTP/2');

# others wait for it

my $content = $c->bytes(3000000);
my $awaited = $c->torrent('awaited', utf8 => 1,
	files => [ [ 'a/file', \$content ] ]);

my $s1 = http_get("/info?ih=$awaited->{ih}", start => 1);
my $s2 = $c->fetch_start($c->url($awaited, path => 'a/file'));
my $s3 = http_get($c->url($f3, path => 'hundred.bin'), start => 1);

Test::Confluence::wait_for(sub { http_get('/status') =~ /$awaited->{ih}/ },
	5, 'waits');
post($f3->{bytes});

is(ih(upload(name('awaited'), file('a/file', $content))), $awaited->{ih},
	'uploaded what somebody waits for');
is(http_content(http_end($s1)), $awaited->{info}, 'info goes on');
ok($c->fetch_end($s2)->{body} eq $content, 'data goes on');

is(ih(upload(name('fx3'), file('hundred.bin', $f3->{whole}))), $f3->{ih},
	'uploaded for a torrent that is known');
is(http_content(http_end($s3)), $f3->{whole}, 'its data go on');

# twice, and when a part of it is there

is(ih(upload(name('awaited'), file('a/file', $content))), $awaited->{ih},
	'uploaded again');

my $half = $c->torrent('half', utf8 => 1, piece => 16384,
	files => [ [ 'f', 10000000 ] ]);
my $seed = $c->seed_libtorrent($half);

$r = $c->fetch({ url => $c->url($half, path => 'f', peers => [ $seed ]),
	args => [ '-r', '5000000-5100000' ] });
is($r->{body}, substr($half->{whole}, 5000000, 100001), 'a part by peers');
is(ih(upload(name('half'), file('f', $half->{whole}))), $half->{ih},
	'all of it uploaded');
$seed->stop();
ok($c->fetch($c->url($half, path => 'f'))->{body} eq $half->{whole},
	'all of it served');

# peers get it

Test::Confluence::spew($t->testdir() . '/up.torrent',
	http_content(upload(name('awaited'), file('a/file', $content))));

$r = $c->leech($t->testdir() . '/up.torrent', peers => [ $c->{listen} ]);
is($r->{progress}, 1, 'libtorrent gets it');
ok(Test::Confluence::slurp("$r->{dir}/awaited/a/file") eq $content,
	'libtorrent gets it right');

SKIP: {
	skip 'no transmission', 2
		if system('transmission-daemon -V >/dev/null 2>&1') != 0;

	like(scalar `transmission-show @{[ $t->testdir() ]}/up.torrent 2>&1`,
		qr/Hash: $awaited->{ih}/, 'transmission shows it');
	ok(transmission(), 'transmission gets it');
}

# what is wrong is said

for my $x (
	[ 'no name', 400, 'missing name', file('a', 'b') ],
	[ 'name is a file', 400, 'missing name', file('a', 'b', 'name') ],
	[ 'empty component', 400, 'component', name('x'), file('a//b', 'c') ],
	[ 'leading slash', 400, 'component', name('x'), file('/b', 'c') ],
	[ 'trailing slash', 400, 'component', name('x'), file('b/', 'c') ],
	[ 'dot', 400, 'component', name('x'), file('a/./b', 'c') ],
	[ 'dots', 400, 'component', name('x'), file('../b', 'c') ],
	[ 'dots alone', 400, 'component', name('x'), file('..', 'c') ],
	[ 'duplicate', 400, 'duplicate path "a/b"', name('x'), file('a/b', 'c'),
		file('b', ''), file('a/b', 'c') ],
	[ 'duplicate when stripped', 400, 'duplicate path "b"', name('x'),
		file('a/b', 'c'), file('c/b', 'c'),
		field('strip-top-directory', '') ],
	[ 'zero in a path', 400, 'zero byte', name('x'), file("a\0", 'c') ],
	[ 'zero in the name', 400, 'zero byte', name("x\0") ],
	[ 'long path', 400, 'malformed', name('x'), file('x' x 5000, 'c') ],
	[ 'long name', 400, 'too long', name('x' x 5000) ],
	[ 'long header', 400, 'too long', name('x'),
		'X: ' . 'x' x 20000 . "\x0d\x0a" . file('a', 'b') ],
	[ 'quote', 400, 'malformed', name('x'),
		"Content-Disposition: form-data; name=\"files\x0d\x0a\x0d\x0a" ],
) {
	my ($name, $status, $text, @parts) = @$x;

	like(upload(@parts), qr/ $status .*nosniff.*\x0d\x0a\x0d\x0a
		parsing\ multipart\ form:\ [^\x0a]*\Q$text\E[^\x0a]*\x0a\z/sx,
		$name);
}

my $torn = form(name('x'), file('a', 'content'));

like(raw("POST /upload HTTP/1.0\x0d\x0a", substr($torn, 0, -12)),
	qr/ 400 .*NextPart: EOF/s, 'torn');
like(raw("POST /upload HTTP/1.0\x0d\x0a", ''), qr/ 400 .*NextPart: EOF/s,
	'empty');
like(http("POST /upload HTTP/1.0\x0d\x0aContent-Type: multipart/form-data; "
	. "boundary=x\x0d\x0a\x0d\x0a"), qr/ 400 .*NextPart: EOF/s, 'no body');
like(http("POST /upload HTTP/1.0\x0d\x0aContent-Length: 3\x0d\x0a\x0d\x0aa=b"),
	qr/ 415 .*parsing multipart form: request Content-Type isn't multipart/s,
	'no multipart');
like(http("POST /upload HTTP/1.0\x0d\x0aContent-Type: multipart/form-data"
	. "\x0d\x0aContent-Length: 3\x0d\x0a\x0d\x0aa=b"),
	qr/ 400 .*no multipart boundary param/s, 'no boundary');
like(raw("POST /small/upload HTTP/1.0\x0d\x0a", $torn . 'x' x 2000),
	qr/ 413 /, 'too large');
like(http("GET /upload HTTP/1.0\x0d\x0a\x0d\x0a"), qr/ 405 .*Allow: POST/s,
	'GET');

Test::Confluence::wait_for(sub {
	!glob($t->testdir() . '/cache/upload/*')
}, 10, 'nothing is left in upload');
pass('nothing is left in upload');

sub field {
	my ($name, $value) = @_;

	return "Content-Disposition: form-data; name=\"$name\"\x0d\x0a\x0d\x0a"
		. "$value\x0d\x0a";
}

sub name {
	return field('name', $_[0]);
}

sub file {
	my ($path, $content, $field) = @_;

	$field = 'files' unless defined $field;

	return "Content-Disposition: form-data; name=\"$field\"; "
		. "filename=\"$path\"\x0d\x0aContent-Type: "
		. "application/octet-stream\x0d\x0a\x0d\x0a$content\x0d\x0a";
}

sub form {
	my (@parts) = @_;

	return join('', map { "--bound\x0d\x0a$_" } @parts) . "--bound--\x0d\x0a";
}

sub raw {
	my ($line, $body) = @_;

	return http($line . 'Content-Type: multipart/form-data; boundary=bound'
		. "\x0d\x0aContent-Length: " . length($body)
		. "\x0d\x0a\x0d\x0a$body");
}

sub upload {
	return raw("POST /upload HTTP/1.0\x0d\x0a", form(@_));
}

sub chunked {
	my ($body, $size) = @_;

	return http("POST /upload HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a"
		. "Connection: close\x0d\x0aTransfer-Encoding: chunked\x0d\x0a"
		. "Content-Type: multipart/form-data; boundary=\"bound\""
		. "\x0d\x0a\x0d\x0a" . join('', map { sprintf("%x\x0d\x0a%s"
		. "\x0d\x0a", length($_), $_) } unpack("(a$size)*", $body))
		. "0\x0d\x0a\x0d\x0a");
}

sub post {
	my ($body) = @_;

	return http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
		. length($body) . "\x0d\x0a\x0d\x0a$body");
}

# The infohash of a response, or of a .torrent; "pieces" ends the info.

sub ih {
	return ih_of(http_content($_[0]));
}

sub ih_of {
	my ($body) = @_;

	return '' unless defined $body && $body =~ /4:info(d.*6:pieces(\d+):)/s;

	return sha1_hex($1 . substr($body, $+[1], $2) . 'e');
}

sub piece_length {
	return $_[0] =~ /12:piece lengthi(\d+)e/ ? $1 : '';
}

sub truncate_to {
	my ($file, $size) = @_;

	open my $fh, '>', $file or die "Can't create $file: $!\n";
	truncate $fh, $size or die "Can't truncate $file: $!\n";
}

# It takes connections, but makes none on the loopback: we are told of it.

sub transmission {
	my $address = Test::Confluence::free_address();
	my ($host, $port) = split /:/, $address;
	my $rpc = Test::Confluence::free_port();
	my $dir = $c->new_dir('transmission');

	Test::Confluence::spew("$dir/settings.json", <<EOF);
{ "bind-address-ipv4": "$host", "bind-address-ipv6": "::1",
  "peer-port": $port, "rpc-port": $rpc, "rpc-bind-address": "127.0.0.1",
  "rpc-authentication-required": false, "rpc-whitelist-enabled": false,
  "dht-enabled": false, "lpd-enabled": false, "utp-enabled": false,
  "port-forwarding-enabled": false, "download-dir": "$dir" }
EOF

	my $process = $c->spawn([ 'transmission-daemon', '-f', '-g', $dir ]);
	my $remote = "transmission-remote 127.0.0.1:$rpc";

	Test::Confluence::wait_port("127.0.0.1:$rpc");
	system("$remote -a @{[ $t->testdir() ]}/up.torrent -w $dir"
		. ' >/dev/null 2>&1');

	http_get($c->url($awaited, route => '/info', peers => [ $address ]));

	my $got = eval {
		Test::Confluence::wait_for(sub {
			-f "$dir/awaited/a/file"
				&& Test::Confluence::slurp("$dir/awaited/a/file")
				eq $content
		}, 30, 'transmission');
	};

	$process->stop();

	return $got;
}
