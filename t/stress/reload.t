#!/usr/bin/perl

# What ends workers while others go on, under cold and hot streams: reloads, with
# another directory and another port too, upgrades of the binary and back, quit,
# and a time limit for it.  None is cut but by the limit, none is wrong, and no
# process gets larger.

use warnings;
use strict;

use FindBin;
use Test::More;
use Time::HiRes qw/ sleep time /;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx qw/ :DEFAULT http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $mb = 1024 * 1024;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');
my $dir = $t->testdir();

# rather more than the caches hold, in segments

my $hot = $c->torrent('hot.bin', size => 8 * $mb, piece => 65536);
my @cold = map {
	$c->torrent("cold$_.bin", size => 50 * $mb + 12345, piece => 262144 >> $_,
		seed => $_)
} 0 .. 2;
my $held = $c->torrent('held.bin', size => $mb);
my $seed = $c->seed_libtorrent([ $hot, @cold ]);
my $port = Test::Confluence::free_port();

$t->plan(32);

write_conf();
start();

is($c->streams({ torrent => $hot, peers => [ $seed ] })->report()->{complete},
	1, 'hot');

my $streams = $c->streams(clients());
my (%before, %after);

for my $i (1 .. 50) {
	reload();
	progress();

	%before = $c->holds() if $i == 10;
}

%after = $c->holds();

for my $name (sort keys %before) {
	for my $what ([ fds => 8 ], [ maps => 40 ], [ rss => 8192 ]) {
		my ($kind, $more) = @$what;

		cmp_ok($after{$name}{$kind}, '<=', $before{$name}{$kind} + $more,
			"$name: $kind after 50 reloads, not many more than after 10");
	}
}

ended('50 reloads');

# a directory that changes, a port that changes, both, each back

$streams = $c->streams(clients());

for my $o ({ path => 'other' }, { listen => "127.0.0.1:$port" },
	{ path => 'other' }, { path => 'other', listen => "127.0.0.1:$port" },
	{ listen => "127.0.0.1:$port" }, {})
{
	write_conf(%$o);
	reload();
	progress();
}

ended('another directory and port');

# an upgrade that is taken back, and one that is not

$streams = $c->streams(clients());

for my $back (1, 0) {
	my $old = $t->master();

	kill 'USR2', $old;
	Test::Confluence::wait_for(sub {
		-s "$dir/nginx.pid.oldbin" && -s "$dir/nginx.pid"
			&& $c->processes(qr/^worker process$/) == 4
	}, 20, 'new binary');
	progress();

	kill 'WINCH', $old;
	Test::Confluence::wait_for(sub {
		$c->processes(qr/^worker process$/) == 2
	}, 20, 'old workers');
	progress();

	if ($back) {
		my $new = $t->master();

		kill 'HUP', $old;
		Test::Confluence::wait_for(sub {
			$c->processes(qr/^worker process$/) == 4
		}, 20, 'old workers are back');
		progress();

		kill 'QUIT', $new;
		Test::Confluence::wait_for(sub {
			-s "$dir/nginx.pid" && $t->master() == $old
		}, 120, 'new master is gone');

	} else {
		kill 'QUIT', $old;
		Test::Confluence::wait_for(sub {
			!-e "$dir/nginx.pid.oldbin"
		}, 120, 'old master is gone');
	}

	progress();
}

ended('upgrades of the binary');

# other layouts

for my $o ({ layout => 'files', max => 512, grace => '1h' },
	{ layout => 'sqlite' })
{
	write_conf(path => $o->{layout}, %$o);
	reload();

	$streams = $c->streams(clients());

	for (1 .. 15) {
		reload();
		progress();
	}

	ended("15 reloads, layout=$o->{layout}");
}

# quit lets all end

write_conf();
reload();

$streams = $c->streams(map { { %$_, repeat => 1, random => [ 4 * $mb,
	8 * $mb ] } } clients());
Test::Confluence::wait_for(sub {
	40 == grep { $_->{running} && $_->{running}{got} || $_->{complete} }
		@{ $streams->status()->{clients} }
}, 60, 'all are being served');

my $begun = time();

kill 'QUIT', $t->master();

my $r = $streams->report();

is($r->{complete}, 40, 'all complete when told to quit');
gone('quit', 30);
diag(sprintf 'quit took %.1fs', time() - $begun);

# unless there is a limit: whoever reads slowly, waits, or has a WebSocket

write_conf(timeout => '2s');
start();

my $peer = $c->seed_scripted($held, mode => 'hold');
my $url = $c->url($held, peers => [ $peer ]);
my $waits = http_get($url, start => 1);
my $ws = $c->spawn([ "$FindBin::Bin/../tools/ws_client.py", 'ws://127.0.0.1:'
	. port(8080) . $c->url($held, peers => [ $peer ], route => '/events') ]);

$ws->wait_line(qr/^open/);
$peer->wait_line(qr/^request 0 /, 20);

$streams = $c->streams(map { { torrent => $hot, rate => 65536,
	rcvbuf => 16384 } } 1 .. 10);
Test::Confluence::wait_for(sub {
	10 == grep { $_->{running} && $_->{running}{got} }
		@{ $streams->status()->{clients} }
}, 60, 'all are being served');

$begun = time();

kill 'QUIT', $t->master();

is($ws->wait_line(qr/^closed/, 20), 'closed 1001', 'WebSocket is told');
gone('limit', 20);
diag(sprintf 'limit of 2s took %.1fs', time() - $begun);
$waits->close();

$r = $streams->report();
is($r->{cut}, 10, 'cut by the limit');
is($r->{wrong}, 0, 'none wrong');

my $log = $t->read_file('error.log');
my @errors = $log =~ /^.*(?:\[(?:emerg|crit)\]|open socket #\d+ left).*$/mg;
is("@errors", '', 'no critical errors, no sockets left');

# 20 that are hot, 20 that are cold

sub clients {
	return map { {
		torrent => $hot, peers => [ $seed ], repeat => 0, rate => $mb / 2,
		$_ % 2 ? (random => [ 1, 4 * $mb ]) : (),
	}, {
		torrent => $cold[$_ % 3], peers => [ $seed ], repeat => 0,
		rate => $mb * (1 + $_ % 2), random => [ 1, 8 * $mb ], seed => $_,
	} } 1 .. 20;
}

sub write_conf {
	my (%o) = @_;

	my %defaults = (path => 'cache', layout => 'segments', max => 96,
		grace => '1s');

	%o = (%defaults, %o);

	my $conf = $c->conf(torrent_grace => $o{grace}, readahead => '1m',
		cache_path => "$dir/$o{path} layout=$o{layout} max_size=$o{max}m",
		$o{listen} ? (listen => $o{listen}) : ());

	# little is in the buffers of sockets then
	my ($timeout, $sndbuf) = $o{timeout}
		? ("worker_shutdown_timeout $o{timeout};", 'sndbuf=64k')
		: ('', '');

	# only a daemon can be upgraded
	$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

worker_processes 2;
$timeout

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log   %%TESTDIR%%/error.log info;
    access_log  off;
    add_header  X-Worker \$pid always;

$conf

    server {
        listen       127.0.0.1:8080 $sndbuf;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF
}

sub start {
	system($ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx', '-p', "$dir/",
		'-c', 'nginx.conf', '-e', 'error.log') == 0
		or die "Can't start nginx\n";
	Test::Confluence::wait_for(sub { http_get('/health') =~ / 200 / }, 20,
		'health');
}

# Reloads and waits until the new processes are there, and the old ones know.

sub reload {
	my %old = map { $_ => 1 } $c->processes(qr/^(?:worker|cache)/);

	$t->reload();

	Test::Confluence::wait_for(sub {
		my @new = grep { !$old{$_} }
			$c->processes(qr/^(?:worker process|cache manager process)$/);
		@new == 3 && !grep { $old{$_} }
			$c->processes(qr/^worker process$/);
	}, 30, 'reloaded');
}

# All clients get something.

sub progress {
	$streams->wait_progress($streams->status(), 60);
}

# The streams end, and then the old processes do.

sub ended {
	my ($what) = @_;

	my $r = $streams->finish();

	diag("$what: " . Test::Confluence::Streams::summary($r));

	is($r->{wrong}, 0, "$what: no wrong byte");
	is_deeply($r->{failed}, [], "$what: none dropped");

	ok(eval {
		Test::Confluence::wait_for(sub { $c->processes(qr/./) == 4 }, 60,
			'processes');
	}, "$what: old processes are gone");
}

sub gone {
	my ($what, $seconds) = @_;

	ok(eval {
		Test::Confluence::wait_for(sub { !$c->processes(qr/./) },
			$seconds, 'processes');
	}, "$what: no process is left");
}

END {
	if (defined $dir) {
		local $?;
		kill 'KILL', $c->processes(qr/./);
	}
}
