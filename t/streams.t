#!/usr/bin/perl

# Tests for many clients at once: every byte is right, cold and hot, whole and
# in ranges, fast and slow; and for the clients, that they see what is wrong.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    add_header  X-Worker $pid always;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }

        location /static/ {
        }

        location /slow/ {
            alias       %%TESTDIR%%/static/;
            limit_rate  1000;
        }
    }
}

EOF

my $mb = 1024 * 1024;
my $one = $c->torrent('one.bin', size => 20 * $mb, piece => 262144);
my $many = $c->torrent('many', piece => 65536, seed => 1, files => [
	map { [ "f$_.bin", 1000000 + 7 * $_ ] } 0 .. 4
]);
my $seed = $c->seed_libtorrent([ $one, $many ]);

mkdir $t->testdir() . '/static';
$t->write_file('static/right', 'a' x 100000);
$t->write_file('static/wrong', 'a' x 54321 . 'b' . 'a' x 45678);
$t->write_file('static/long', 'a' x 100001);

$t->run()->plan(18);

# cold, then hot

my @clients = (
	{ torrent => $one, peers => [ $seed ] },
	{ torrent => $one, peers => [ $seed ], rate => 8 * $mb },
	{ torrent => $one, peers => [ $seed ], first => 19 * $mb },
	(map { { torrent => $one, peers => [ $seed ], seed => $_, repeat => 5,
		random => [ 1, $mb ] } } 1 .. 10),
	(map { { torrent => $many, path => "f$_.bin", peers => [ $seed ] } }
		0 .. 4),
);

for my $heat (qw/ cold hot /) {
	my $r = $c->streams(map { { %$_ } } @clients)->report();

	is($r->{complete}, 58, "all complete, $heat");
	is_deeply($r->{failed}, [], "none failed, $heat");
	diag("$heat: " . Test::Confluence::Streams::summary($r));
}

# those who are told when to stop, those who leave

my $streams = $c->streams(
	{ torrent => $one, repeat => 0, random => [ 1000, 100000 ] },
	{ torrent => $one, repeat => 0, until => 100000, rate => $mb },
);

my $before = $streams->status();
my $r = $streams->wait_progress($streams->wait_progress($before));

cmp_ok($r->{bytes}, '>', $before->{bytes}, 'progress');

$r = $streams->finish();

cmp_ok($r->{clients}[0]{complete}, '>', 0, 'repeated');
cmp_ok($r->{clients}[1]{left}, '>', 0, 'left');
is($r->{complete} + $r->{left}, $r->{clients}[0]{complete}
	+ $r->{clients}[1]{left}, 'nothing else');

# what is wrong is seen

my $file = $t->testdir() . '/static/right';

$streams = $c->streams(map { { url => $_, file => $file } } qw{
	/static/right /static/wrong /static/long /static/none /slow/right
});

$r = Test::Confluence::wait_for(sub {
	my $s = $streams->status();
	my $running = $s->{clients}[4]{running};

	return $running && $running->{got} && $s->{wrong} == 2
		&& $s->{status} == 1 && $s;
}, 10, 'all but the slow one');

kill 'KILL', $r->{clients}[4]{running}{worker};
$r = $streams->report();

my %failed = map { $_->{url} => $_ } @{ $r->{failed} };

is($r->{complete}, 1, 'the right one');
is($failed{'/static/wrong'}{what}, 'wrong', 'wrong');
like($failed{'/static/wrong'}{why}, qr/^byte 54321: 62/, 'wrong byte');
is($failed{'/static/long'}{what}, 'wrong', 'wrong length');
is($failed{'/static/none'}{what}, 'status', 'status');
is($failed{'/static/none'}{status}, 404, 'not found');
is($failed{'/slow/right'}{what}, 'cut', 'cut');
cmp_ok($failed{'/slow/right'}{got}, '<', 100000, 'cut early');
like($failed{'/slow/right'}{worker}, qr/^\d+$/, 'cut by a worker');

$t->stop();

$r = $c->streams({ url => '/', file => $file })->report();
is($r->{refused}, 1, 'refused');

$c->expect_alerts(qr/exited on signal 9/);
