#!/usr/bin/perl

# Tests for /bep44: values that a DHT has (BEP 44), by target alone, and what
# nodes that lie can do.  libtorrent puts them.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Confluence::Namespace;
use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $boot = '10.99.1.1:7001';
my $nobody = '1' x 40;

# nodes that know each other, one that has put values, and liars near a target

my @nodes = map { $c->seed_libtorrent($c->torrent("t$_", size => 1),
	address => "10.99.$_.1:700$_", dht => $boot,
	set => [ 'dht_block_ratelimit=1000' ]) } 1 .. 4;

my $put = $c->spawn([ "$FindBin::Bin/tools/dht_nodes.py", $boot,
	'put=10.99.5.1:7005' ]);
$put->wait_line(qr/^READY/, 40);
my %target = $put->output() =~ /^(\w+) ([0-9a-f]{40})$/mg;

conf(dht => 'on', dht_bootstrap => $boot);
$t->run()->plan(34);

# what is asked wrongly

is(answer(''), '400 target has bad length', 'no target');
is(answer('?target='), '400 target has bad length', 'empty target');
is(answer('?target=zz'), "400 encoding/hex: invalid byte: U+007A 'z'",
	'target is not hex');
is(answer('?target=123'), '400 encoding/hex: odd length hex string',
	'odd length');
is(answer('?target=' . 'a' x 38), '400 target has bad length', 'short');
is(answer('?target=' . 'a' x 42), '400 target has bad length', 'long');
is(answer("?target=$nobody&salt=%zz"),
	'400 invalid escape in query parameter "salt"', 'escape');
is(answer("?target=$nobody&salt=" . 'a' x 65), '400 salt has bad length',
	'salt');
like(http("POST /bep44?target=$nobody HTTP/1.0\x0d\x0a\x0d\x0a"),
	qr/ 405 .*Allow: GET, HEAD, OPTIONS/s, 'method');

# values

is(answer("?target=$target{text}"), '200 5:hello', 'immutable');
is(answer("?target=" . uc $target{text}), '200 5:hello', 'upper case');
is(answer("?target=$target{dict}"), "200 d1:ai1e1:bl1:\0ee", 'not text');
is(answer("?target=$target{mutable}"), '200 5:plain', 'mutable');
is(answer("?target=$target{mutablefoobar}&salt=foobar"),
	'200 12:Hello World!', 'with salt');
is(answer("?target=$target{mutableold}&salt=old"), '200 6:second',
	'the newest');
is(answer("?target=$target{mutablefoobar}&salt=other"), '404 not found',
	'wrong salt');
is(answer("?target=$nobody"), '404 not found', 'nobody has it');
is(answer('?target=da39a3ee5e6b4b0d3255bfef95601890afd80709'),
	'404 not found', 'hash of nothing');

my $r = http_get("/bep44?target=$target{text}");

like($r, qr!^Content-Type: text/plain; charset=utf-8\x0d$!m, 'text');
like($r, qr!^X-Content-Type-Options: nosniff\x0d$!m, 'not sniffed');
like(http_get("/bep44?target=$target{dict}"),
	qr!^Content-Type: application/octet-stream\x0d$!m, 'bytes');
like(http_head("/bep44?target=$target{text}"),
	qr/ 200 .*Content-Length: 7\x0d\x0a.*\x0d\x0a\x0d\x0a$/s, 'HEAD');
unlike(http_get('/status'), qr/$target{text}/, 'no torrent is added');

# many at once, and clients that leave

my @streams = map { http_get("/bep44?target=$nobody", start => 1) } 1 .. 20;
close $_ for splice @streams, 0, 10;

is(scalar(grep { http_end($_) =~ /\x0d\x0a\x0d\x0anot found\n$/ } @streams),
	10, 'many at once');

# liars are the nearest to the target, and know of nobody else

for my $lie ([ qw/ forged noseq wrong / ], [ qw/ empty garbage huge / ],
	[ qw/ forged noseq silent / ])
{
	my $n = 6;
	my $liars = $c->spawn([ "$FindBin::Bin/tools/dht_nodes.py", $boot,
		map { "lie=10.99.$n.1:70" . sprintf('%02d', $n++)
			. ",$target{mutablefoobar},$_" } @$lie ]);

	$liars->wait_line(qr/^READY/, 20);

	$t->stop();
	conf(dht => 'on', dht_bootstrap => "$boot 10.99.6.1:7006");
	$t->run();

	# some searches may end before libtorrent knows of the liars, or, on a
	# machine that is busy, before others have answered

	my (%answers, $answer);

	ok(eval { Test::Confluence::wait_for(sub {
		$answer = answer("?target=$target{mutablefoobar}&salt=foobar");
		$answers{$answer} = 1 if $answer ne '404 not found';

		return $answer =~ /^200/
			&& !grep { $liars->output() !~ /^asked $_$/m } @$lie;
	}, 60, 'asked') }, 'all liars are asked');

	is(join(', ', keys %answers), '200 12:Hello World!', "despite @$lie");

	$liars->stop();
}

# nobody to ask

$t->stop();
conf(dht => 'on', dht_bootstrap => '10.99.19.1:7019');
$t->run();

$r = $c->fetch("/short/bep44?target=$nobody");
is($r->{status}, 504, 'no node answers');
cmp_ok($r->{time}, '<', 20, 'within a time');
is(http_content(http_get('/health')), '', 'engine is well');

$t->stop();
conf();
$t->run();

is(answer("?target=$nobody"), '500 no dht servers', 'DHT is off');

sub answer {
	my ($args) = @_;

	my $r = $c->fetch("/bep44$args");

	return "$r->{status} $r->{body}" =~ s/\n$//r;
}

sub conf {
	my %o = @_;
	my $conf = $c->conf(listen => '10.99.20.1:7020', %o);

	$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
            confluence_wait_timeout 25s;
        }

        location /short/ {
            confluence;
            confluence_wait_timeout 1s;
        }
    }
}

EOF
}
