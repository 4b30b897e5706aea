#!/usr/bin/perl

# Tests for waiting: for the info, for a piece; what ends a wait.

use warnings;
use strict;

use FindBin;
use Digest::SHA qw/ sha1 /;
use IO::Select;
use MIME::Base64 qw/ encode_base64url /;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $conf = $c->conf(readahead => '128k');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    log_format  wait  '$status $request_uri';

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        access_log   %%TESTDIR%%/wait.log wait;

        location / {
            confluence;
        }

        location /soon/ {
            rewrite ^/soon(.*) $1 break;
            confluence data;
            confluence_wait_timeout 300ms;
        }

        location /page/ {
            rewrite ^/page(.*) $1 break;
            confluence data;
            confluence_wait_timeout 300ms;
            error_page 504 /page.html;
        }

        location = /page.html {
            return 200 "a page of the admin";
        }
    }
}

EOF

my $dir = $t->testdir();
my $nobody = '1' x 40;

my $torrent = $c->torrent('a.bin', size => 1000000, piece => 65536);
my $posted = $c->torrent('posted.png', size => 100000);
my $peer = $c->seed_scripted($torrent, mode => 'hold');

$t->run()->plan(41);

my $r;

# the info of a torrent that nobody has

for my $route (qw/ data info metainfo /) {
	my $s = http_get("/$route?ih=$nobody", start => 1);
	ok(silent($s), "/$route waits");
	close $s;
}

for my $value (qw/ 1 t T TRUE true True /) {
	$r = http_get("/info?ih=$nobody&nowait=$value");
	like($r, qr/ 202 .*\x0d\x0a\x0d\x0ainfo not ready\x0a$/s,
		"nowait=$value");
}

for my $query ('nowait', 'nowait=', 'nowait=0', 'nowait=yes') {
	my $s = http_get("/info?ih=$nobody&$query", start => 1);
	ok(silent($s), "$query waits");
}

like(http_get("/metainfo?ih=$nobody&nowait=1"), qr/ 202 /,
	'metainfo nowait');

# who has the entity already needs nothing of the torrent

my $known = '"' . encode_base64url(substr(sha1(pack('H*', $nobody)), 0, 12))
	. '"';

for my $value ($known, "\"x\", W/$known") {
	$r = known($value);
	like($r, qr/ 304 .*^ETag: \Q$known\E\x0d$/ms, '304 does not wait for the info');
}

like(known("\"x\", \"y$known\""), qr/ 504 /, 'another entity');
like(known($known, "If-Match: *\x0d\x0a"), qr/ 504 /, 'more than one condition');

# a client that goes away is noticed at once

my $s = http_get("/data?ih=$nobody&x=gone", start => 1);
silent($s);
close $s;
ok(logged(qr/^499 .*x=gone$/m), 'client gone while waiting for the info');

# a wait that is too long

like(http_get("/soon/data?ih=$nobody"), qr/ 504 /, 'timeout for the info');
like(http_get("/page/data?ih=$nobody"), qr/a page of the admin/,
	'page for the timeout');

# the info arrives by POST while a request waits for it

$s = http_get($c->url($posted, route => '/info'), start => 1);
ok(silent($s), 'waits for what is posted');

$r = http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
	. length($posted->{bytes}) . "\x0d\x0a\x0d\x0a$posted->{bytes}");
is(http_content($r), "$posted->{ih}\n", 'posted');
is(http_content(http_end($s)), $posted->{info}, 'the waiting request has it');

# the length is known, the data is not

$r = http_head($c->url($posted, path => 'posted.png'));
like($r, qr/ 200 OK.*^Content-Length: 100000\x0d$/ms,
	'head does not wait for data');

like(http_get($c->url($posted, path => 'nope')), qr/ 404 /,
	'404 does not wait for data');

my ($etag) = $r =~ /^ETag: (\S+)\x0d$/m;

like(http('GET ' . $c->url($posted, path => 'posted.png')
	. " HTTP/1.0\x0d\x0aIf-None-Match: $etag\x0d\x0a\x0d\x0a"), qr/ 304 /,
	'304 does not wait for data');
like(http('GET ' . $c->url($posted, path => 'posted.png')
	. " HTTP/1.0\x0d\x0aRange: bytes=100000-\x0d\x0a\x0d\x0a"),
	qr/ 416 /, '416 does not wait for data');

$s = http_get($c->url($posted, path => 'posted.png'), start => 1);
ok(silent($s), 'no header before the first byte');
close $s;

$r = http_get('/soon' . $c->url($posted, path => 'posted.png'));
like($r, qr/ 504 /, 'timeout for the first byte');

# pieces arrive one by one

my $url = $c->url($torrent, peers => [ $peer ]);

like(http_head($url), qr/^Content-Length: 1000000\x0d$/m, 'info arrives');

$s = http_get($url, start => 1);
$peer->wait_line(qr/^request 0 /);
ok(silent($s), 'waits for the first piece');

$peer->tell('give 0');
$r = read_body($s, '', 65536);
like($r, qr/ 200 OK.*^Content-Length: 1000000\x0d$/ms,
	'header with the first piece');
is(http_content($r), substr($torrent->{whole}, 0, 65536),
	'first piece and not a byte more');

$peer->tell('give 2');
ok(silent($s), 'in order');

$peer->tell('give 1');
$r = read_body($s, $r, 196608);
is(http_content($r), substr($torrent->{whole}, 0, 196608),
	'up to the next gap');

# a second reader, elsewhere; who has its piece can be asked

my $other = $c->seed_scripted($torrent, mode => 'hold', have => '13-13');

my $s2 = http('GET ' . $c->url($torrent, peers => [ $other ])
	. " HTTP/1.0\x0d\x0aRange: bytes=900000-900009\x0d\x0a\x0d\x0a",
	start => 1);
$other->wait_line(qr/^request 13 /);
ok(silent($s2), 'second reader waits');
$other->tell('give all');
is(http_content(http_end($s2)), substr($torrent->{whole}, 900000, 10),
	'second reader has its piece');
ok(silent($s), 'first reader waits still');

# the rest

$peer->tell('give all');
$r .= http_end($s);
is(http_content($r), $torrent->{whole}, 'all of it');

like(http_get('/health'), qr/ 200 OK/, 'healthy');

# True if nothing is to be read for a while.

sub known {
	my ($value, $more) = @_;

	return http("GET /soon/data?ih=$nobody HTTP/1.0\x0d\x0a"
		. "If-None-Match: $value\x0d\x0a" . ($more || '') . "\x0d\x0a");
}

sub silent {
	my ($s) = @_;

	return !IO::Select->new($s)->can_read(0.3);
}

# Reads on until there is so much of the body.

sub read_body {
	my ($s, $text, $length) = @_;

	while (length(http_content($text) || '') < $length
		&& IO::Select->new($s)->can_read(8))
	{
		sysread($s, $text, 65536, length $text) or last;
	}

	return $text;
}

sub logged {
	my ($re) = @_;

	return eval {
		Test::Confluence::wait_for(sub {
			Test::Confluence::slurp("$dir/wait.log") =~ $re
		}, 20, 'a log line');
	};
}
