#!/usr/bin/perl

# Tests for sources of magnets, xs and as: the .torrent by HTTP.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_ssl/);
my $c = Test::Confluence->new($t)->has('libtorrent', 'openssl');

my $dir = $t->testdir();
my $port = Test::Confluence::free_port();
my $web = "http://127.0.0.1:$port";

sub conf {
	my ($t, %o) = @_;

	$t->write_file_expand('nginx.conf', <<'EOF' =~ s{%%CONFLUENCE%%}{$c->conf(%o)}er);

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
            confluence_wait_timeout 40s;
        }

        location = /soon {
            confluence info;
            confluence_wait_timeout 1s;
        }
    }

    server {
        listen       127.0.0.1:8081;
        listen       127.0.0.1:8443 ssl;

        ssl_certificate      localhost.crt;
        ssl_certificate_key  localhost.key;

        root %%TESTDIR%%;
    }
}

EOF
}

system("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost"
	. " -addext subjectAltName=IP:127.0.0.1"
	. " -keyout $dir/localhost.key -out $dir/localhost.crt >$dir/openssl 2>&1")
	== 0 or die "Can't make a certificate\n";

my $seeds = 'http://127.0.0.1:' . port(8081);
my $secure = 'https://127.0.0.1:' . port(8443);

# the data are of web seeds that the .torrent names

my %torrents;

for (qw/ v1 v2 hybrid /) {
	$torrents{$_} = $c->torrent("$_.bin", size => 200000, piece => 65536,
		kind => $_, webseeds => [ "$seeds/$_/" ],
		trackers => [ "$web/announce" ]);
	symlink($torrents{$_}{dir}, "$dir/$_") or die "Can't link: $!\n";
}

my %small = map { $_ => $c->torrent($_, content => $_) } qw/ acceptable moved
	hops late once dropped reloaded stopped blocked numbered secure kept /;
my $stubborn = $c->torrent('stubborn', size => 40000);
my $first = $c->torrent('first', size => 40000);
my $peer = $c->seed_scripted($stubborn);
my $other = $c->seed_scripted($first);
my $source = $c->spawn([ "$FindBin::Bin/tools/source.py", $dir, '--listen',
	"127.0.0.1:$port", "127.0.0.2:$port" ]);

$source->wait_line(qr/^READY/, 20);
Test::Confluence::spew("$dir/garbage.torrent", 'd4:infoi1e');

conf($t, torrent_grace => '1s');
$t->run()->plan(57);

# the info, and the data that it leads to

for (sort keys %torrents) {
	my $torrent = $torrents{$_};

	ok($c->fetch(by($torrent, '/data', xs => file($torrent)))->{body}
		eq $torrent->{whole}, "data of $_");
	like(http_get("/metainfo?ih=$torrent->{ih}"), qr!\Q$web/announce\E!,
		"tracker of $_");
}

is(info('acceptable', as => file($small{acceptable})),
	$small{acceptable}{info}, 'as');
is(info('numbered', 'xs.1' => file($small{numbered})),
	$small{numbered}{info}, 'xs.1');
is(info('moved', xs => to(file($small{moved}))), $small{moved}{info},
	'redirect');
is(info('hops', xs => hops(5, $small{hops})), $small{hops}{info},
	'five redirects');
unlike(logged(), qr/ source ".*" (?!has its info)/, 'none has failed');

# none that is of use: the swarm goes on

my $ih = $stubborn->{ih};
my @bad = (
	[ "$web/none", qr/returned error: 404/ ],
	[ "$web/loop", qr/redirects/ ],
	[ hops(6, $stubborn), qr/redirects/ ],
	[ to("file://$stubborn->{file}"), qr/file/ ],
	[ file($first), qr/not a \.torrent of this torrent/ ],
	[ "$web/file/garbage.torrent", qr/not a \.torrent of this torrent/ ],
	[ "$web/zip/" . name($stubborn), qr/not a \.torrent of this torrent/ ],
	[ "$secure/" . name($stubborn), qr/certificate/ ],
);

my $w = http_get(by($stubborn, '/info', map { (xs => $_->[0]) } @bad),
	start => 1);

for (@bad) {
	my ($url, $why) = @$_;

	ok(has_logged(qr/torrent "$ih": source "\Q$url\E": .*$why/),
		"$url is logged");
}

http_get(by($stubborn, '/info', xs => file($stubborn)) . '&nowait=1');
ok($c->fetch($c->url($stubborn, peers => [ $peer ]))->{body}
	eq $stubborn->{whole}, 'the swarm has it');
is(http_content(http_end($w)), $stubborn->{info}, 'who waited gets it');
unlike($source->output(), qr!^request /file/\Q@{[ name($stubborn) ]}\E !m,
	'no more than eight');

$w = http_get(by($small{late}, '/info', xs => "$web/long",
	xs => "$web/endless", xs => "$web/headers", xs => to('ftp://127.0.0.1/x'),
	xs => 'http://127.0.0.1:1/', xs => 'http://[::1', xs => 'http://',
	xs => "urn:btih:$ih", as => "magnet:?xt=urn:btih:$ih",
	xs => "file://$small{late}{file}", xs => $small{late}{file}), start => 1);

ok(has_logged(qr!source "$web/long": .*Maximum file size!), 'a long one');
ok(has_logged(qr!source "$web/endless": more than 67108864 bytes!),
	'an endless one');
ok(has_logged(qr!source "$web/headers": .*headers!i), 'endless headers');
ok(has_logged(qr!source "$web/to/.*": .*ftp!), 'another protocol');
ok(has_logged(qr!source "http://127.0.0.1:1/": .*connect!i),
	'nobody is there');
ok(has_logged(qr!"$small{late}{ih}": a source is not a URL!), 'no URL');

http_get(by($small{late}, '/info', xs => file($small{late})));
is(http_content(http_end($w)), $small{late}{info}, 'then one that has it');

# what is told to a server, and to the log

my $secret = $web =~ s!//!//user:secret@!r . '/unknown?key=hidden#part';

http_get(by($small{kept}, '/soon', xs => $secret));
ok(has_logged(qr!source "$web/unknown": !), 'named without secrets');
unlike(logged(), qr/source ".*(?:secret|hidden|part)/, 'no secret');

my ($told) = $source->output() =~ m!^request /unknown(\S* .*)$!m;
like($told, qr/^\?key=hidden .*Authorization: Basic dXNlcjpzZWNyZXQ=/,
	'password');
like($told, qr!User-Agent: confluence-nginx/!, 'user agent');
unlike($told, qr/(?:Cookie|Referer|Accept-Encoding):/i, 'nothing else');

# one request of ours, however many there are

my @same = map { http_get(by($small{once}, '/soon',
	xs => "$web/absent?once"), start => 1) } 1 .. 4;

like(http_end($_), qr/ 504 /, 'nobody has it') for @same;
like(http_get(by($small{once}, '/soon', xs => "$web/absent?once")),
	qr/ 504 /, 'nor has it now');
is(scalar(() = $source->output() =~ m!^request /absent\?once !mg), 1,
	'asked once');

# one that does not answer: until nobody wants it

like(http_get(by($small{dropped}, '/soon', xs => "$web/hang")),
	qr/ 504 /, 'no answer');
ok(closed(), 'torrent is dropped');

$w = http_get(by($first, '/info', xs => "$web/hang"), start => 1);
asked();
http_get($c->url($first, route => '/info', peers => [ $other ]));
is(http_content(http_end($w)), $first->{info}, 'a peer was first');
ok(closed(), 'source is of no use');
$t->stop();

conf($t);
$t->run();

is(info('moved', xs => "$web/cached"), $small{moved}{info}, 'cached');
is(threads(), 0, 'nobody is asked for it');

like(http_get(by($small{reloaded}, '/info', xs => "$web/hang") . '&nowait=1'),
	qr/ 202 /, 'not waited for');
asked();
is(threads(), 1, 'one that waits');
$t->reload();
ok(closed(), 'engine is replaced');

like(http_get(by($small{stopped}, '/info', xs => "$web/hang") . '&nowait=1'),
	qr/ 202 /, 'not waited for again');
asked();
$t->stop();
ok(closed(), 'engine has stopped');

# addresses that are not to be talked to

$t->write_file('blocked.txt', "127.0.0.2\n");
conf($t, blocklist => "$dir/blocked.txt");
$t->run();

http_get(by($small{blocked}, '/soon',
	xs => to(file($small{blocked}) =~ s/127.0.0.1/127.0.0.2/r)));
ok(has_logged(qr/source "$web.*": 127\.0\.0\.2 is blocked/), 'by a redirect');
$t->stop();

conf($t, private_networks => 'off');
$t->run();

my $n = () = $source->output() =~ /^connect/mg;
my @private = map { file($small{blocked}) =~ s/127.0.0.1/$_/r } qw/ 127.0.0.1
	localhost [::1] [::ffff:127.0.0.1] 127.1 0 2130706433 /;

http_get(by($small{blocked}, '/soon', map { (xs => $_) } @private));

ok(has_logged(qr/source "\Q$_\E": .* is blocked/), "blocked: $_")
	for @private[0 .. 2];
Test::Confluence::wait_for(sub {
	(() = logged() =~ / is blocked$/mg) == @private + 1
}, 20, 'all are blocked');
is(scalar(() = $source->output() =~ /^connect/mg), $n, 'no connection');
$t->stop();

SKIP: {
skip 'not root', 1 if $> != 0;

# the certificate is one that is trusted

conf($t);
$c->run_by('unshare', '-m', 'sh', '-c', 'mount --bind "$0"'
	. ' /etc/ssl/certs/ca-certificates.crt && exec "$@"',
	"$dir/localhost.crt");
$t->run();

is(info('secure', xs => "$secure/" . name($small{secure})),
	$small{secure}{info}, 'https');
}

# The URL of a route for a torrent, by a magnet with these parameters.

sub by {
	my ($torrent, $route, @o) = @_;
	my $magnet = $c->magnet($torrent);

	while (my ($name, $value) = splice @o, 0, 2) {
		$magnet .= "&$name=" . Test::Confluence::escape($value);
	}

	return "$route?magnet=" . Test::Confluence::escape($magnet);
}

sub info {
	my ($name, @o) = @_;

	return http_content(http_get(by($small{$name}, '/info', @o)));
}

sub name {
	my ($torrent) = @_;

	return $torrent->{file} =~ s!.*/!!r;
}

sub file {
	my ($torrent) = @_;

	return "$web/file/" . name($torrent);
}

sub to {
	my ($url) = @_;

	return "$web/to/" . Test::Confluence::escape($url);
}

sub hops {
	my ($n, $torrent) = @_;

	return "$web/hops/$n/" . name($torrent);
}

# What the error log says of torrents.

sub logged {
	return join '', grep { / torrent "/ }
		split /^/, $t->read_file('error.log');
}

sub has_logged {
	my ($re) = @_;

	return eval {
		Test::Confluence::wait_for(sub { logged() =~ $re }, 20, 'logged');
	};
}

# Threads that the engine has for sources.

sub threads {
	my ($pid) = reverse $c->processes(qr/^cache manager/);

	return scalar grep { Test::Confluence::slurp($_) eq "engine-fetch\n" }
		glob("/proc/$pid/task/*/comm");
}

sub asked {
	$source->wait_line(qr!^request /hang !, 20);
}

sub closed {
	return eval { $source->wait_line(qr!^close /hang!, 20) };
}
