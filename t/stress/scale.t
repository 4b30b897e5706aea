#!/usr/bin/perl

# A cache of very many torrents (SCALE, 10000), and torrents of very many pieces
# and files: they are there after a start, are served and loaded, and others are
# served meanwhile.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Digest::SHA qw/ sha1_hex /;
use Test::Nginx qw/ :DEFAULT http_content /;
use Test::Confluence;
use Time::HiRes qw/ time /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('make');

my $conf = $c->conf();

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    client_max_body_size  100m;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF

my $n = $ENV{SCALE} || 10000;
my @ih = $c->fill($n);

my $begin = time();
$t->run()->plan(16);

is(scalar @ih, $n, 'cache filled');
healthy('started');
diag(sprintf '%d torrents: started in %.2f s', $n, time() - $begin);

my $usage = $c->tell_usage("$n torrents",
	{ map { $_ => { memory => 0, cpu => 0 } } qw/ engine workers / });

# from the cache, then with the engine

srand(42);

my (@times, $right);

for my $i (map { int rand $n } 1 .. 2000) {
	my $begin = time();
	$right += is_right($i);
	push @times, time() - $begin;
}

is($right, 2000, 'served from the cache');
@times = sort { $a <=> $b } @times;
diag(sprintf 'hits: median %.2f ms, 99 of 100 below %.2f ms',
	map { $_ * 1000 } @times[1000, 1980]);
$usage = $c->tell_usage('2000 hits', $usage);

$begin = time();
is(scalar(grep { http_get("/info?ih=$ih[$_]") =~ / 200 OK/ }
	0 .. 999), 1000, 'loaded');
diag(sprintf '1000 loaded in %.2f s', time() - $begin);
$usage = $c->tell_usage('1000 loaded', $usage);

like(http_get('/status'), qr/^# Torrents: 1000$/m, 'all are loaded');
like(http_get('/status'), qr/ $n torrents, 0 segments evicted/, 'all are kept');

# very many pieces, very many files

for my $what ('pieces', 'files') {
	my $info = Test::Confluence::bencode(
		$what eq 'pieces' ? pieces(1000000) : files(100000));
	my $ih = sha1_hex($info);
	my ($path, $length) = $what eq 'pieces' ? ('big', 16384 * 1000000)
		: ('d50/file 50000', 1000);
	my $file = "$c->{dir}/$what.torrent";

	Test::Confluence::spew($file, "d4:info${info}e");

	my $begin = time();
	my $post = $c->fetch_start({ url => '/metainfo',
		args => [ '--data-binary', "\@$file" ] });
	my ($served, $worst, $answer) = (1, 0);

	until ($post->ended()) {
		my $begin = time();
		$served &&= is_right(int rand $n);
		$worst = time() - $begin if time() - $begin > $worst;
	}

	$answer = $c->fetch_end($post);
	is($answer->{status}, 200, "$what: taken");
	ok($served, "$what: others were served meanwhile");
	diag(sprintf '%s: taken in %.2f s, others waited at most %.1f ms', $what,
		time() - $begin, $worst * 1000);

	$path =~ s/ /%20/;
	like(http_head("/data?ih=$ih&path=$path"),
		qr/ 200 OK.*Content-Length: $length\x0d/s, "$what: a file");
	like(http_get("/info?ih=$ih"), qr/ 200 OK/, "$what: info");
	healthy("$what: the engine goes on");
	$usage = $c->tell_usage("$what, with what was served", $usage);
}

sub healthy {
	my ($name) = @_;

	ok(eval {
		Test::Confluence::wait_for(sub {
			http_get('/health') =~ / 200 OK/
		}, 60, $name)
	}, $name);
}

sub is_right {
	my ($i) = @_;

	return http_content(http_get("/data?ih=$ih[$i]&path=f$i"))
		eq substr("$i\n" x 16384, 0, 16384);
}

sub pieces {
	my ($n) = @_;

	return {
		name => 'big',
		length => \(16384 * $n),
		'piece length' => \16384,
		pieces => $c->bytes(20 * $n),
	};
}

sub files {
	my ($n) = @_;

	return {
		name => 'many',
		files => [ map { {
			length => \1000,
			path => [ 'd' . int($_ / 1000), "file $_" ],
		} } 0 .. $n - 1 ],
		'piece length' => \65536,
		pieces => $c->bytes(20 * int((1000 * $n + 65535) / 65536)),
	};
}
