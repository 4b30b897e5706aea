#!/usr/bin/perl

# Tests for what nginx does around us: connections, filters, ways of sending,
# TLS and HTTP/2.  Each is tried cold, with bytes that are still to come, and
# warm.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http rewrite http_v2/);
my $c = Test::Confluence->new($t)->has('libtorrent', 'curl', 'openssl');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    limit_conn_zone  $arg_limit  zone=one:1m;

    types {
        text/html  html;
    }

    server {
        listen       127.0.0.1:8080;
        listen       127.0.0.1:8443 ssl;
        listen       127.0.0.1:8081 http2;
        listen       127.0.0.1:8444 ssl http2;
        server_name  localhost;

        ssl_certificate      localhost.crt;
        ssl_certificate_key  localhost.key;

        location / {
            confluence;
        }

        location /sendfile/ {
            rewrite ^/sendfile(.*) $1 break;
            sendfile on;
            tcp_nopush on;
            confluence data;
        }

        location /chunk/ {
            rewrite ^/chunk(.*) $1 break;
            sendfile on;
            sendfile_max_chunk 64k;
            confluence data;
        }

        location /buffers/ {
            rewrite ^/buffers(.*) $1 break;
            output_buffers 1 4k;
            confluence data;
        }

        location /direct/ {
            rewrite ^/direct(.*) $1 break;
            directio 4k;
            confluence data;
        }

        location /threads/ {
            rewrite ^/threads(.*) $1 break;
            aio threads;
            sendfile on;
            confluence data;
        }

        location /read/ {
            rewrite ^/read(.*) $1 break;
            aio threads;
            sendfile off;
            confluence data;
        }

        location /rate/ {
            rewrite ^/rate(.*) $1 break;
            limit_rate 2m;
            confluence data;
        }

        location /gzip/ {
            rewrite ^/gzip(.*) $1 break;
            gzip on;
            confluence data;
        }

        location /sub/ {
            rewrite ^/sub(.*) $1 break;
            sub_filter marker MARKER;
            confluence data;
        }

        location /included.html {
            ssi on;
        }

        location /auth/ {
            rewrite ^/auth(.*) $1 break;
            deny all;
            confluence data;
        }

        location /errors/ {
            rewrite ^/errors(.*) $1 break;
            error_page 404 =200 /fallback;
            confluence data;
        }

        location = /fallback {
            return 200 "fallback";
        }

        location /one/ {
            rewrite ^/one(.*) $1 break;
            limit_conn one 1;
            confluence data;
        }

        location /proxy/ {
            proxy_pass http://127.0.0.1:8080/;
        }

        location /log {
            rewrite ^/log(.*) $1 break;
            access_log %%TESTDIR%%/vars.log;
            confluence data;
        }
    }
}

EOF

my $dir = $t->testdir();

system("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost"
	. " -keyout $dir/localhost.key -out $dir/localhost.crt >$dir/openssl 2>&1")
	== 0 or die "Can't make a certificate\n";

my $page = "<html>a marker</html>\n" x 20000;
my @places = qw/ sendfile chunk buffers direct threads read rate proxy /;
my @cold = map { $c->torrent("$_.bin", size => 9000001, piece => 65536,
	seed => $_) } @places;
my $h2 = $c->torrent('h2.bin', size => 5000001, piece => 65536);
my $tls = $c->torrent('tls.bin', size => 5000001, piece => 65536);
my $html = $c->torrent('page.html', content => $page);
my $small = $c->torrent('small.html', content => 'included');
my $hello = $c->torrent('hello', content => 'hello');

my $seed = $c->seed_libtorrent([ @cold, $h2, $tls, $html, $small, $hello ]);

$t->write_file('included.html', '<!--#include virtual="'
	. $c->url($small) . '" -->');

$t->run()->plan(2 * @places + 26);

# ways of sending

for my $i (0 .. $#places) {
	my $url = "/$places[$i]" . $c->url($cold[$i], peers => [ $seed ]);

	ok($c->fetch($url)->{body} eq $cold[$i]{whole}, "$places[$i] cold");
	ok($c->fetch({ url => $url, args => [ '-r', '4190000-4200000' ] })
		->{body} eq substr($cold[$i]{whole}, 4190000, 10001),
		"$places[$i] warm, a range");
}

# HTTP/2 and TLS

my $h2c = 'http://127.0.0.1:' . port(8081);
my $https = 'https://127.0.0.1:' . port(8443);
my $h2s = 'https://127.0.0.1:' . port(8444);

my $url = $c->url($h2, peers => [ $seed ]);
my @http2 = ('--http2-prior-knowledge');

ok($c->fetch({ url => $h2c . $url, args => [ @http2 ] })->{body}
	eq $h2->{whole}, 'http/2 cold');
ok($c->fetch({ url => $h2c . $url, args => [ @http2, '-r', '-70000' ] })
	->{body} eq substr($h2->{whole}, -70000), 'http/2 range');
like($c->fetch({ url => $h2c . $url, args => [ @http2, '-I' ] })->{headers},
	qr/^content-length: 5000001/m, 'http/2 head');

$url = $c->url($tls, peers => [ $seed ]);
ok($c->fetch({ url => $https . $url, args => [ '-k' ] })->{body}
	eq $tls->{whole}, 'tls cold');
ok($c->fetch({ url => $h2s . $url, args => [ '-k', '--http2' ] })->{body}
	eq $tls->{whole}, 'http/2 over tls');

# connections

http_get($c->url($hello, peers => [ $seed ]));
$url = $c->url($hello);

my $r = http("GET $url HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a\x0d\x0a"
	. "GET $url HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a"
	. "Range: bytes=1-2\x0d\x0a\x0d\x0a"
	. "GET /nosuch HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a\x0d\x0a"
	. "HEAD $url HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a\x0d\x0a"
	. "GET $url HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a"
	. "Connection: close\x0d\x0a\x0d\x0a");
like($r, qr/ 200 OK.*hello.* 206 .*\x0d\x0ael.* 404 .* 200 OK.* 200 OK.*hello$/s,
	'pipelined');
like(http("GET $url HTTP/1.0\x0d\x0aConnection: keep-alive\x0d\x0a\x0d\x0a"
	. "GET $url HTTP/1.0\x0d\x0a\x0d\x0a"),
	qr/keep-alive.*hello.*hello$/s, 'kept alive');
is(http("GET $url\x0d\x0a"), 'hello', 'http/0.9');

my $cold = $c->torrent('pipe', size => 100000);
my $peer = $c->seed_scripted($cold, mode => 'hold');
my $held = $c->url($cold, peers => [ $peer ]);
my $s = http("GET $held HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a\x0d\x0a"
	. "GET $url HTTP/1.1\x0d\x0aHost: localhost\x0d\x0a"
	. "Connection: close\x0d\x0a\x0d\x0a", start => 1);
$peer->wait_line(qr/^request 0 /);
$peer->tell('give all');
$r = http_end($s);
ok($r =~ /\Q$cold->{whole}\E.*hello$/s, 'pipelined behind one that waits');

# filters

http_get($c->url($html, peers => [ $seed ]));
http_get($c->url($small, peers => [ $seed ]));

$r = $c->fetch({ url => '/gzip' . $c->url($html),
	args => [ '--compressed' ] });
ok($r->{body} eq $page, 'gzip');
like($r->{headers}, qr/^Content-Encoding: gzip/mi, 'gzip used');
like($r->{headers}, qr!^ETag: W/!mi, 'gzip weakens the etag');

$r = $c->fetch('/sub' . $c->url($html));
(my $changed = $page) =~ s/marker/MARKER/;
ok($r->{body} eq $changed, 'sub');
is($c->fetch({ url => '/sub' . $c->url($html), args => [ '-r', '0-9' ] })
	->{status}, 200, 'no range of a changed body');

like($c->fetch('/included.html')->{body}, qr/^included$/, 'subrequest');

# access, errors, limits

is($c->fetch('/auth' . $c->url($hello))->{status}, 403, 'access rules');
is($c->fetch('/errors' . $c->url($hello, path => 'no'))->{body}, 'fallback',
	'error page');
is($c->fetch('/errors' . $c->url($hello))->{body}, 'hello',
	'without an error');

my $other = $c->torrent('other', size => 100000);
my $holder = $c->seed_scripted($other, mode => 'hold');
my $waiting = '/one' . $c->url($other, peers => [ $holder ]) . '&limit=1';

$s = http_get($waiting, start => 1);
$holder->wait_line(qr/^request 0 /);
is($c->fetch($waiting)->{status}, 503, 'connection limit');
$holder->tell('give all');
ok(http_content(http_end($s)) eq $other->{whole}, 'the first one is served');

# a client that reads slowly or not at all holds nothing up

my $slow = http_get($c->url($cold[0]), start => 1);
ok($c->fetch($c->url($cold[0]))->{body} eq $cold[0]{whole},
	'beside a client that does not read');
close $slow;

# aborted in the middle, many times

for (1 .. 20) {
	my $s = http_get($c->url($cold[1]), start => 1);
	sysread($s, my $buf, 1 + int rand 100000);
	close $s;
}

ok($c->fetch($c->url($cold[1]))->{body} eq $cold[1]{whole}, 'after aborts');

# request bodies are not ours

like(http("GET $url HTTP/1.0\x0d\x0aContent-Length: 5\x0d\x0a\x0d\x0ahello"),
	qr/ 200 OK.*hello$/s, 'body is discarded');

# names that nginx would clean

like(http_get('//data?ih=' . $hello->{ih}), qr/hello$/, 'slashes merged');
like(http_get('/x/../data?ih=' . $hello->{ih}), qr/hello$/, 'dots');

is($c->fetch('/log' . $c->url($hello))->{status}, 200, 'logged');
