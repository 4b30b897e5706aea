#!/usr/bin/perl

# Tests for layout=sqlite: pieces in a database in the cache directory, as
# confluence has them with -sqliteStorage.

use warnings;
use strict;

use Digest::SHA qw/ sha1_hex sha256_hex /;
use FindBin;
use IO::Select;
use IO::Socket::INET;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_v2/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my $db = "$dir/cache/pieces.db";
my $mb = 1024 * 1024;

my $conf = sub {
	my (%o) = @_;

	$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf(%o)/er);

%%TEST_GLOBALS%%

daemon off;

worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    server {
        listen       127.0.0.1:8080;
        listen       127.0.0.1:8082 http2;
        server_name  localhost;

        client_max_body_size 0;

        location / {
            confluence;
        }
    }

    server {
        listen       127.0.0.1:8081 sndbuf=16k;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF
};

# pieces that span files, rows that span neither

my $many = $c->torrent('many', piece => 32768, files => [
	[ 'empty at first', \'' ],
	[ 'a/one.bin', 100000 ],
	[ 'a/two.bin', 10 ],
	[ 'big.bin', 3 * $mb + 17 ],
	[ 'z', \'' ],
]);

# pieces of several rows, of which the last is short

my $odd = $c->torrent('odd.bin', size => 2 * $mb + 1, piece => 208896);
my $hybrid = $c->torrent('hybrid', kind => 'hybrid', piece => 16384, files => [
	[ 'x.bin', 20000 ], [ 'y.bin', 50001 ] ]);
my $slow = $c->torrent('slow.bin', size => 6 * $mb, piece => 262144);
my $large = $c->torrent('large.bin', size => 80 * $mb, piece => 262144);
my @torrents = ($many, $odd, $hybrid, $slow, $large);
my $seed = $c->seed_libtorrent(\@torrents);

$conf->(
	cache_path => "$dir/cache max_size=8m layout=sqlite",
	torrent_grace => '1h',
	seed => 'on',
);

$t->run()->plan(39);

# data, whole and in parts

my $r = $c->fetch($c->url($many, peers => [ $seed ]));
is($r->{sha256}, sha256_hex($many->{whole}), 'whole torrent');

for my $path (@{ $many->{paths} }) {
	$r = $c->fetch($c->url($many, path => $path));
	is($r->{sha256}, sha256_hex($many->{data}{$path}), "file \"$path\"");
}

for my $range ([ 99990, 100030 ], [ 0, 0 ], [ 65530, 131080 ], [ 65536, 65536 ],
	[ 100000, 1300016 ])
{
	my ($from, $to) = @$range;

	$r = $c->fetch({ url => $c->url($many), args => [ '-r', "$from-$to" ] });
	is($r->{sha256}, sha256_hex(substr($many->{whole}, $from,
		$to - $from + 1)), "range $from-$to");
}

$r = $c->fetch({ url => $c->url($many, path => 'big.bin'),
	args => [ '-r', '1-200000,300000-300001,3000000-3100000' ] });
like($r->{body}, qr/\Q@{[ substr($many->{data}{'big.bin'}, 1, 200000) ]}\E.*
	\Q@{[ substr($many->{data}{'big.bin'}, 300000, 2) ]}\E.*
	\Q@{[ substr($many->{data}{'big.bin'}, 3000000, 100001) ]}\E/sx,
	'multiple ranges');

for my $torrent ($odd, $hybrid) {
	$r = $c->fetch($c->url($torrent, peers => [ $seed ]));
	is($r->{sha256}, sha256_hex($torrent->{whole}), $torrent->{name});

	$r = $c->fetch({ url => $c->url($torrent), args => [ '-r', '-70000' ] });
	is($r->{sha256}, sha256_hex(substr($torrent->{whole}, -70000)),
		"$torrent->{name}, its end");
}

$r = $c->fetch({ url => 'http://127.0.0.1:' . port(8082) . $c->url($odd),
	args => [ '--http2-prior-knowledge' ] });
is($r->{sha256}, sha256_hex($odd->{whole}), 'by HTTP/2');

is($c->used(), 0, 'no segments on disk');
is(scalar(() = glob("$dir/cache/files/*")), 0, 'no files either');

# a slow client reads what is evicted

my $s = http_get($c->url($slow, peers => [ $seed ]), start => 1,
	socket => IO::Socket::INET->new(Proto => 'tcp',
		PeerAddr => '127.0.0.1:' . port(8081)));
ok(IO::Select->new($s)->can_read(20), 'slow client');

# ten times what fits, by many clients

my @clients = map { {
	torrent => $large, peers => [ $seed ],
	first => $_ * 4 * $mb, last => 80 * $mb - 1 } } 0 .. 3;

my $peak = 0;
my $streams = $c->streams(@clients);

until ($streams->ended() || $streams->output() =~ /^\{/m) {
	my $size = -s $db;
	$peak = $size if $size > $peak;
	select undef, undef, undef, 0.05;
}

$r = $streams->report();
is($r->{complete}, 4, 'larger than the cache, every byte')
	or diag(explain($r->{failed}));
cmp_ok($peak, '<=', 8.5 * $mb, 'larger than the cache, the limit holds');
cmp_ok($peak, '>', 5 * $mb, 'larger than the cache, it is used');
cmp_ok(-s "$db-wal", '<', 48 * $mb, 'larger than the cache, the log');

my $got = '';
$s->blocking(1);
while (sysread($s, my $buf, 65536)) { $got .= $buf; }
$got =~ s/.*?\x0d\x0a\x0d\x0a//s;
ok($got eq $slow->{whole}, 'slow client, every byte');

# many readers of different places

my @offsets = map { $_ * 9 * $mb } 0 .. 7;
my @r = $c->fetch(map { { url => $c->url($large), timeout => 60,
	args => [ '-r', $_ . '-' . ($_ + $mb - 1) ] } } @offsets);
is(scalar(grep { $r[$_]{body} eq substr($large->{whole}, $offsets[$_], $mb) }
	0 .. $#r), @offsets, 'readers at several places');
cmp_ok(-s $db, '<=', 8.5 * $mb, 'the limit holds with readers');

# others get it from us

$c->fetch($c->url($odd, peers => [ $seed ]));
$c->fetch($c->url($hybrid, peers => [ $seed ]));
$seed->stop();

is($c->leech($odd->{file}, peers => [ $c->{listen} ])->{progress}, 1,
	'given to others');

# after a restart it is there, without peers

$t->stop();
$t->run();

for my $torrent ($odd, $hybrid) {
	is($c->fetch($c->url($torrent))->{sha256},
		sha256_hex($torrent->{whole}),
		"$torrent->{name}, after a restart");
}

$c->kill_all();
$t->run();

for my $torrent ($odd, $hybrid) {
	is($c->fetch($c->url($torrent))->{sha256},
		sha256_hex($torrent->{whole}), "$torrent->{name}, after kill -9");
}

# uploads

my $up = "$dir/up.bin";
my $bytes = $c->bytes(2 * $mb + 12345, 'upload');
Test::Confluence::spew($up, $bytes);

$r = $c->fetch({ url => '/upload', args => [ '-F', 'name=up',
	'-F', "files=\@$up;filename=a/b.bin" ] });
is($r->{status}, 200, 'upload');

my ($info) = $r->{body} =~ /4:info(d.*)e\z/s;
$r = $c->fetch('/data?ih=' . sha1_hex($info || '') . '&path=a/b.bin&nowait=1');
is($r->{sha256}, sha256_hex($bytes), 'upload, every byte');
cmp_ok(-s $db, '<=', 8.5 * $mb, 'the limit holds with an upload');

# the engine dies while clients read, and so does a worker

$seed = $c->seed_libtorrent(\@torrents);
$streams = $c->streams(map { {
	torrent => $large, peers => [ $seed ], rate => 3 * $mb,
	first => $_ * 8 * $mb, last => ($_ + 1) * 8 * $mb - 1 } } 0 .. 3);

for (1 .. 2) {
	my $before = $streams->status();
	kill 'KILL', $c->processes(qr/cache manager/);
	$streams->wait_progress($before);
}

$r = $streams->report();
is($r->{complete}, 4, 'kill -9 of the engine, every byte')
	or diag(explain($r->{failed}));

$streams = $c->streams(map { {
	torrent => $large, peers => [ $seed ], rate => 3 * $mb,
	first => $_ * 8 * $mb, last => ($_ + 1) * 8 * $mb - 1 } } 4 .. 7);
my $before = $streams->status();
$streams->wait_progress($before);
my ($worker) = $c->processes(qr/worker process/);
kill 'KILL', $worker;
$r = $streams->report();
is($r->{wrong}, 0, 'kill -9 of a worker, no wrong byte');

$r = $c->fetch({ url => $c->url($large), timeout => 60,
	args => [ '-r', '0-' . (20 * $mb - 1) ] });
ok($r->{body} eq substr($large->{whole}, 0, 20 * $mb),
	'kill -9 of a worker, then served');

# nginx calls it an alert that a process was killed, which is what we did

$c->expect_alerts(qr/exited on signal 9/);
$t->stop();

my @alerts = grep { !/exited on signal 9/ }
	$t->read_file('error.log') =~ /\[(?:alert|crit|emerg)\].*/g;
is("@alerts", '', 'no alerts but of what was killed');
