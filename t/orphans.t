#!/usr/bin/perl

# Tests for a master process that is killed alone: what it leaves behind serves
# on, as in any nginx, and with the engine; it leaves in order when it is told
# to; another nginx waits for it, or takes over.

use warnings;
use strict;

use FindBin;
use POSIX qw/ WNOHANG /;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $binary = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');
my $dir = $t->testdir();
my $mb = 1024 * 1024;
my @torrents = map {
	$c->torrent("t$_.bin", size => 4 * $mb, piece => 65536, seed => $_)
} 0 .. 6;
my $seed = $c->seed_libtorrent([ @torrents ]);
my ($port, @orphans);

END {
	local $?;
	kill 'KILL', @orphans;
}

$t->plan(28);

# in the middle of a stream

begin(8081);
served($torrents[0], 'fetched');

my $stream = stream($torrents[1], 8081);
orphan();

complete($stream, $torrents[1], 'a stream goes on');
served($torrents[0], 'what is cached');
served($torrents[2], 'what is not');
is(join(' ', $c->processes(qr/./)), "@orphans", 'nothing died');

# the same ports are in use

my $out = `$binary -p $dir/ -c nginx.conf -e stderr 2>&1`;

isnt($?, 0, 'another nginx does not start');
like($out, qr/bind\(\) to \S+ failed .*Address already in use/, 'and says why');
served($torrents[0], 'this one serves on');

# other ports, the same cache

begin(8080);
served($torrents[0], 'of another nginx, what is cached');
served($torrents[3], 'of another nginx, what is not');
is(engines(), 1, 'by the same engine');

my @streams = (stream($torrents[4], 8080), stream($torrents[5], 8081));

kill 'QUIT', @orphans;

complete($streams[0], $torrents[4], 'a stream goes on');
complete($streams[1], $torrents[5], 'one of those who leave, too');
gone();
is(engines(), 2, 'another engine has taken over');

# all of it is there later

orphan();
kill 'TERM', @orphans;
gone();
ok(-e "$dir/cache/sealed", 'the engine has left in order');
is(join(' ', $c->strays()), '', 'nothing is left over');

$seed->stop();
begin(8080);

for (0 .. 5) {
	served($torrents[$_], 'without a peer', 1);
}

# without engine, which nobody starts any more

orphan();

my ($engine) = $c->processes(qr/cache manager/);

kill 'KILL', $engine;
served($torrents[0], 'without engine');

my $lines = lines();
my $r = $c->fetch($c->url($torrents[6]));

is($r->{status}, 503, 'without engine, what is not cached');
cmp_ok(lines() - $lines, '<', 30, 'and not much is said about it');

kill 'QUIT', @orphans;
gone();

sub begin {
	($port) = @_;

	my $conf = $c->conf(cache_path => "$dir/cache");

	$t->write_file_expand('nginx.conf',
		<<'EOF' =~ s/%%CONFLUENCE%%/$conf/r =~ s/%%PORT%%/$port/r);

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    server {
        listen       127.0.0.1:%%PORT%%;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF

	# of a master that was killed

	unlink "$dir/nginx.pid";
	$t->run();
}

# Kills the master, and nothing else.

sub orphan {
	my $master = $t->read_file('nginx.pid') + 0;

	Test::Confluence::wait_for(sub {
		$c->processes(qr/cache manager/)
	}, 10, 'engine');

	@orphans = grep { $_ != $master } $c->processes(qr/./);

	kill 'KILL', $master;
	Test::Confluence::wait_for(sub {
		waitpid($master, WNOHANG) || !kill(0, $master)
	}, 10, 'killed');
}

sub gone {
	my $left;

	ok(eval {
		Test::Confluence::wait_for(sub {
			my %now = map { $_ => 1 } $c->processes(qr/./);
			!($left = grep { $now{$_} } @orphans)
		}, 20, 'gone');
	}, 'all of them are gone') or diag("$left are left");
}

sub url {
	my ($torrent, $at, $alone) = @_;

	return 'http://127.0.0.1:' . port($at)
		. $c->url($torrent, $alone ? () : (peers => [ $seed ]));
}

sub served {
	my ($torrent, $name, $alone) = @_;

	ok($c->fetch(url($torrent, $port, $alone))->{body}
		eq $torrent->{whole}, "$name: $torrent->{name}");
}

sub stream {
	my ($torrent, $at) = @_;

	my $stream = $c->fetch_start({ url => url($torrent, $at),
		args => [ '--limit-rate', '2M' ] });

	Test::Confluence::wait_for(sub { -s "$stream->{fetch}/body" }, 20,
		'begun');

	return $stream;
}

sub complete {
	my ($stream, $torrent, $name) = @_;

	ok($c->fetch_end($stream)->{body} eq $torrent->{whole}, $name);
}

sub engines {
	return scalar grep { /confluence engine started in/ }
		split /\n/, $t->read_file('error.log');
}

sub lines {
	return scalar grep { !/\[debug\]/ }
		split /\n/, $t->read_file('error.log');
}
