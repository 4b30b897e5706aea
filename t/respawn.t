#!/usr/bin/perl

# Tests for an engine that dies again and again, and for one that cannot start:
# neither is tried ten times a second.

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw/ sleep time /;

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

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF

my $dir = $t->testdir();
my $torrent = $c->torrent('a.bin', size => 300000);
my $seed = $c->seed_libtorrent($torrent);

$t->run()->plan(9);

ok($c->fetch($c->url($torrent, peers => [ $seed ]))->{body}
	eq $torrent->{whole}, 'fetched');

# each engine is killed as soon as it has started, for some seconds

my $begin = lines('confluence engine started');
my $killed = $begin - 1;
my $end = time() + 5;

while (time() < $end) {
	my $n = lines('confluence engine started');
	my ($pid) = reverse $c->processes(qr/^cache manager/);

	if ($pid && $n > $killed) {
		kill 'KILL', $pid;
		$killed = $n;
	}

	sleep(0.02);
}

my $starts = lines('confluence engine started') - $begin;

cmp_ok($starts, '>=', 4, 'started again after each death');
cmp_ok($starts, '<=', 9, 'not as fast as it can be');
cmp_ok(lines('waits before it starts'), '>=', 1, 'the log tells of it');
ok($c->fetch($c->url($torrent))->{body} eq $torrent->{whole},
	'complete data is served meanwhile');

Test::Confluence::wait_for(sub { http_get('/health') =~ / 200 / }, 15,
	'health');
pass('healthy when it lives');

# after a stop that is none of these, nothing waits

$t->stop();
$t->run();

Test::Confluence::wait_for(sub { http_get('/health') =~ / 200 / }, 2,
	'health');
pass('healthy at once after a restart');

# a directory that cannot be used

$t->stop();
unlink "$dir/cache/lock" or die "Can't remove the lock: $!\n";
mkdir "$dir/cache/lock" or die "Can't create a directory: $!\n";

$begin = lines('engine failed to start');
$t->run();

my @tries = map { tried($begin + $_) } 1, 2;
cmp_ok($tries[1] - $tries[0], '>=', 2, 'tried again after some seconds');

rmdir "$dir/cache/lock" or die "Can't remove a directory: $!\n";
Test::Confluence::wait_for(sub { http_get('/health') =~ / 200 / }, 10,
	'health');
pass('starts when the directory can be used');

$t->stop();
$c->expect_alerts(qr/exited on signal 9/);

# When the engine has failed so many times.

sub tried {
	my ($n) = @_;

	Test::Confluence::wait_for(sub { lines('engine failed to start') >= $n },
		20, 'tried again');

	return time();
}

sub lines {
	my ($text) = @_;

	return scalar(() = $t->read_file('error.log') =~ /\Q$text\E/g);
}
