#!/usr/bin/perl

# Tests for /fileState: the states of a file's pieces, and nowait.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use IO::Select;
use Test::Nginx qw/ :DEFAULT :gzip http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http gzip/);
my $c = Test::Confluence->new($t)->has('libtorrent');

$t->write_file_expand('nginx.conf', <<'EOC' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    client_max_body_size     64m;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        gzip on;
        gzip_types application/json;
        gzip_vary on;

        location / {
            confluence;
        }

        location /states {
            confluence fileState;
        }
    }
}

EOC

my ($f1, $f2, $f3, $s1) = $c->fixtures();
my $seed = $c->seed_libtorrent([ $f2 ]);

my $piece = 65536;
my $held = $c->torrent('held.bin', size => 3 * $piece + 100, piece => $piece);
my $peer = $c->seed_scripted($held, mode => 'hold');

$t->run()->plan(62);

# a complete torrent

my $url = $c->url($f2, peers => [ $seed ], path => 'dir/a.bin',
	route => '/fileState');

http_get($c->url($f2, peers => [ $seed ]));

my $r = http_get($url);
like($r, qr/ 200 OK/, 'status');
like($r, qr!^Content-Type: application/json\x0d$!m, 'type');
is(http_content($r), '[' . join(',', map { element(bytes => $_,
	complete => 'true') } 16384, 16384, 7232) . "]\n", 'keys and order');

$r = http_head($url);
like($r, qr/ 200 OK.*^Content-Length: \d+\x0d$/ms, 'head');
is(http_content($r), '', 'head has no body');

$r = http_get($c->url($f2, path => 'dir/b.txt', route => '/fileState'));
is(http_content($r), '[' . element(bytes => 10, complete => 'true') . "]\n",
	'bytes are those of the file');

$r = http_get($c->url($f2, path => 'dir/empty.dat', route => '/fileState'));
is(http_content($r), "[]\n", 'an empty file has no pieces');

$r = http_get($c->url($f2, path => 'nope', route => '/fileState'));
like($r, qr/ 404 .*^file not found$/ms, 'no such file');
unlike($r, qr/^Content-Disposition:/m, 'and no name for it');

like(http_get($c->url($f2, route => '/fileState')), qr/ 404 /,
	'a file must be named');
like(http_get("/fileState/infohash/$f2->{ih}/dir/a.bin"), qr/ 404 /,
	'not by a path');
like(http_get('/fileState?ih=abc'),
	qr/ 400 .*^error determining requested infohash: hash hex/ms,
	'bad infohash');
like(http("POST $url HTTP/1.0\x0d\x0a\x0d\x0a"), qr/ 405 .*^Allow: GET/ms,
	'post');
like(http_get($c->url($f2, path => 'dir/b.txt', route => '/states')),
	qr/ 200 /, 'bound to a location');

$r = http_gzip_request($url);
like($r, qr/^Content-Encoding: gzip\x0d$/m, 'gzip');
like($r, qr/^Vary: Accept-Encoding\x0d$/m, 'gzip varies');

SKIP: {
	skip 'no IO::Uncompress::Gunzip', 1
		unless eval { require IO::Uncompress::Gunzip; 1 };

	my $zipped = http_content($r);
	my $out;

	IO::Uncompress::Gunzip::gunzip(\$zipped => \$out);
	is($out, http_content(http_get($url)), 'gzip content');
}

# metadata alone

post($s1);

$r = http_get($c->url($s1, path => 'movie.mp4', route => '/fileState'));
is(http_content($r), '[' . join(',', map { element(bytes => $_) }
	(16384) x 6, 1696) . "]\n", 'nothing is there');

# a reader

$url = $c->url($held, path => 'held.bin', route => '/fileState');

my $s = http_get($c->url($held, peers => [ $peer ]), start => 1);
$peer->wait_line(qr/^request 0 /);

is(states('Priority'), '5 3 3 3', 'wanted by a reader');
is(states('Complete'), 'false false false false', 'nothing is complete');

$peer->tell('give 0');
ok(wait_states('Complete', 'true false false false'), 'first is complete');
ok(wait_states('Priority', '0 5 3 3'), 'reader waits for the second');

$peer->tell('give 2');
ok(wait_states('Complete', 'true false true false'), 'third is complete');
is(states('Priority'), '0 5 0 3', 'complete is not wanted');

# a second reader, elsewhere

my $s2 = http('GET ' . $c->url($held) . " HTTP/1.0\x0d\x0a"
	. 'Range: bytes=' . 3 * $piece . "-\x0d\x0a\x0d\x0a", start => 1);
ok(wait_states('Priority', '0 5 0 5'), 'two readers');

close $s2;
ok(wait_states('Priority', '0 5 0 3', 1), 'second reader has left');

close $s;
ok(wait_states('Priority', '0 0 0 0', 1), 'nobody wants anything');

# some blocks of a piece

$peer->tell('mode slow:30000');
$s = http_get($c->url($held), start => 1);
ok(wait_states('Partial', 'false true false false'), 'partial');
is(states('Priority'), '0 5 0 3', 'partial is wanted');

$peer->tell('mode good');
is(http_content(http_end($s)), $held->{whole}, 'all of it');
is(states('Partial'), 'false false false false', 'nothing is partial');
is(states('Complete'), 'true true true true', 'all is complete');
is(states('Hashing'), 'false false false false', 'nothing is hashed');
is(states('Marking'), 'false false false false', 'nothing is written');

# it waits for metadata, or not

my $none = '1' x 40;

for my $route (qw!/fileState /data /info /metainfo!) {

	for my $value (qw/1 t T true True TRUE/) {
		next if $value ne '1' && $route ne '/fileState';

		$r = http_get("$route?ih=$none&path=x&nowait=$value");
		like($r, qr/ 202 .*^info not ready$/ms, "$route nowait=$value");
	}

	for my $value ('=0', '=yes', '') {
		next if $value ne '=yes' && $route ne '/fileState';

		$s = http_get("$route?ih=$none&path=x&nowait$value",
			start => 1);
		ok(!IO::Select->new($s)->can_read(0.2),
			"$route nowait$value waits");
		close $s;
	}
}

like(http_get($c->url($f2, path => 'dir/b.txt', nowait => 1)),
	qr/ 200 .*0123456789$/s, 'nowait of what is known');

my $s3 = $c->torrent('later.bin', size => 20000);
$s = http_get($c->url($s3, path => 'later.bin', route => '/fileState'),
	start => 1);
post($s3);
like(http_end($s), qr/ 200 .*"Bytes":3616/s, 'metadata arrives');

# a million pieces, for a client that takes its time

my $n = 1000000;
my $large = { ih => undef };
my $info = Test::Confluence::bencode({
	length => \($n * 16384), name => 'large.bin',
	'piece length' => \16384, pieces => 'x' x (20 * $n) });

$r = http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
	. (length($info) + 8) . "\x0d\x0a\x0d\x0ad4:info${info}e");
($large->{ih}) = http_content($r) =~ /^([0-9a-f]{40})$/;
ok($large->{ih}, 'large torrent');

$url = $c->url($large, path => 'large.bin', route => '/fileState');

my $memory = memory();

$s = http("GET $url HTTP/1.1\x0d\x0aHost: x\x0d\x0aConnection: close"
	. "\x0d\x0a\x0d\x0a", start => 1);
sysread($s, my $head, 65536);
like($head, qr/^Transfer-Encoding: chunked\x0d$/m, 'large answer in chunks');
like(http_get('/health'), qr/ 200 /, 'others are answered meanwhile');

my ($found, $size, $tail) = (0, 0, $head);

while (1) {
	$found++ while $tail =~ /"Bytes":\d+,/g;
	$tail = $tail =~ /("[^"]*?)\z/ ? $1 : '';
	$tail = '' if length $tail > 20;

	my $got = sysread($s, $tail, 1048576, length $tail) or last;
	$size += $got;
}

cmp_ok($found, '>', 0.99 * $n, 'large answer is whole');
cmp_ok($found, '<=', $n, 'and no larger');
cmp_ok(memory() - $memory, '<', 16384, 'large answer takes little memory');
like($tail, qr/\]\x0a\x0d\x0a0\x0d\x0a\x0d\x0a\z|\A\z/, 'and ended');

# a worker that is to leave sends it all

for my $i (1 .. 4) {
	$s = http("GET $url HTTP/1.1\x0d\x0aHost: x\x0d\x0aConnection: close"
		. "\x0d\x0a\x0d\x0a", start => 1);
	sysread($s, $tail, 1048576);
	$t->reload();

	$tail = substr($tail, -20) while sysread($s, $tail, 4194304,
		length $tail);
	like($tail, qr/\]\x0a\x0d\x0a0\x0d\x0a\x0d\x0a\z/,
		"whole over a reload, $i");
}

sub element {
	my (%o) = @_;

	return '{"Bytes":' . $o{bytes} . ',"Priority":0,"Complete":'
		. ($o{complete} || 'false') . ',"Ok":true,"Err":null,'
		. '"Checking":false,"Hashing":false,"QueuedForHash":false,'
		. '"Marking":false,"Partial":false,'
		. '"MissingPieceLayerHash":false}';
}

# One key of all pieces.

sub states {
	my ($key) = @_;

	return join ' ', http_content(http_get($url)) =~ /"$key":(\w+)/g;
}

# What the worker has in memory, in KiB.

sub memory {
	my $master = $t->read_file('nginx.pid') + 0;
	my ($pid) = map { /^\s*(\d+).*worker process/ ? $1 : () }
		`ps --ppid $master -o pid,args`;

	return Test::Confluence::slurp("/proc/$pid/status") =~ /^VmRSS:\s*(\d+)/m
		? $1 : die "Can't read the worker's memory\n";
}

sub wait_states {
	my ($key, $value, $seconds) = @_;

	return eval {
		Test::Confluence::wait_for(sub { states($key) eq $value },
			$seconds || 8, "$key $value");
	} || diag("$key: " . states($key)) && 0;
}

sub post {
	my ($torrent) = @_;

	return http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
		. length($torrent->{bytes})
		. "\x0d\x0a\x0d\x0a$torrent->{bytes}");
}
