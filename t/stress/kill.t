#!/usr/bin/perl

# kill -9 of the engine, also while another takes over, of workers, and of all of
# nginx, again and again, while clients read: no wrong byte, nothing cut but what the killed were sending,
# nothing left behind.

use warnings;
use strict;

use File::Path qw/ rmtree /;
use FindBin;
use List::Util qw/ max /;
use Test::More;
use Time::HiRes qw/ sleep /;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $mb = 1024 * 1024;
my @kills = qw/ engine takeover worker workers all /;

# In segments that are evicted all the time, half of what is read fits; files
# of a torrent that is read are not evicted, thus torrents of their own for each
# kind of kill.

my %layouts = (
	segments => { max => 64, grace => '1s', torrents => 3, size => 43,
		engine => 60, takeover => 30, worker => 30, workers => 15, all => 10 },
	files => { max => 512, grace => '1h', torrents => 15, size => 24,
		engine => 25, takeover => 15, worker => 10, workers => 5, all => 10 },
	sqlite => { sqlite => 1, max => 64, grace => '1s', torrents => 3, size => 43,
		engine => 25, takeover => 15, worker => 10, workers => 5, all => 10 },
);

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent', 'sqlite3');

my $hot = $c->torrent('hot.bin', size => 6 * $mb, piece => 65536);
my ($layout, %torrents, $seed, %before);

$t->plan(160);

srand(4711);

for my $name (qw/ segments files sqlite /) {
	$layout = $layouts{$name};
	begin($name);

	for my $what (@kills) {
		kills("$name, $what", $what, $layout->{$what});
	}

	$t->stop();
	ok(!$c->processes(qr/./), "$name: nothing runs after a stop");
	is_deeply([ $c->strays() ], [], "$name: nothing is left after a stop");
}

my @errors = $t->read_file('error.log') =~ /^.*\[(?:emerg|crit)\].*$/mg;
is("@errors", '', 'no critical errors');

$c->expect_alerts(qr/exited on signal 9/);

# Starts with an empty cache and reads what is to be hot.

sub begin {
	my ($name) = @_;

	rmtree($t->testdir() . '/cache');
	write_conf($name);

	my @torrents = map {
		$c->torrent("$name$_.bin", size => $layout->{size} * $mb + 12345,
			piece => 262144 >> $_ % 3, seed => $_)
	} 1 .. $layout->{torrents};

	delete @$_{qw/ data whole /} for @torrents;
	$seed = $c->seed_libtorrent([ $hot, @torrents ]);

	for my $what (@kills) {
		my @some = $name eq 'files' ? splice @torrents, 0, 3 : @torrents;
		$torrents{$what} = \@some;
	}

	$t->run();

	is($c->streams({ torrent => $hot, peers => [ $seed ] })->report()
		->{complete}, 1, "$name: hot");
	%before = $c->holds();
}

sub write_conf {
	my ($name) = @_;

	my $conf = $c->conf(torrent_grace => $layout->{grace}, readahead => '1m',
		cache_path => $t->testdir() . "/cache layout=$name"
			. " max_size=$layout->{max}m");

	$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;
worker_processes 3;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    error_log   %%TESTDIR%%/error.log info;
    access_log  off;
    add_header  X-Worker \$pid always;

$conf

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF
}

# So many kills of one kind under twenty streams.

sub kills {
	my ($name, $what, $n) = @_;

	my $streams = $c->streams(clients(@{ $torrents{$what} }));
	my ($peak, %killed) = (0);

	for my $i (1 .. $n) {
		# an engine that was told to stop is not one that died: else
		# there is a pause before the next one
		truncate($t->testdir() . '/cache/lock', 0);

		$killed{$_} = 1 for killing($what, $i);
		$peak = max($peak, used());

		# at any time of the start of the next one, and now and then
		# when all go on
		sleep(rand(0.3));
		progress($streams) if $i % 3 == 0;
	}

	progress($streams);

	my $r = $streams->finish();

	# when workers die others have their names before they are asked
	my @cut = grep { $_->{what} eq 'cut' && !$killed{$_->{worker}}
		&& ($what !~ /^worker|all/ || $_->{got}) } @{ $r->{failed} };

	is($r->{wrong}, 0, "$name: no wrong byte") or explain_failed($r);
	is_deeply(\@cut, [], "$name: nothing else is cut");
	is($r->{status}, 0, "$name: no errors") or explain_failed($r);
	cmp_ok($peak, '<=', ($layout->{max} + 4) * $mb, "$name: the limit holds");

	diag("$name, $n times: " . Test::Confluence::Streams::summary($r));

	settled($name, $what);
}

sub clients {
	my (@torrents) = @_;

	return map { {
		torrent => $_ < 4 ? $hot : $torrents[$_ % @torrents],
		peers => [ $seed ],
		repeat => 0,
		seed => $_,
		$_ < 18 ? (rate => (1 + $_ % 4) * $mb) : (),
		$_ % 4 ? (random => [ 1, 8 * $mb ]) : (rate => 3 * $mb),
	} } 0 .. 19;
}

# Kills, and returns the workers that were killed when others are there.

sub killing {
	my ($what, $i) = @_;

	my $re = $what eq 'engine' ? qr/^cache manager/ : qr/^worker process/;
	my @old = $c->processes($re);

	if ($what eq 'all') {
		$c->kill_all();
		$t->run();
		return @old;
	}

	return takeover(@old) if $what eq 'takeover';

	my @killed = $what eq 'worker' ? $old[$i % @old] : @old;

	kill 'KILL', @killed;
	others($re, scalar @old, @killed);

	return $what eq 'engine' ? () : @killed;
}

# A reload, in which the engines that are there are killed sooner or later.

sub takeover {
	my (@workers) = @_;

	$t->reload();
	sleep(rand(0.4));

	my @engines = $c->processes(qr/^cache manager/);

	kill 'KILL', @engines;
	others(qr/^cache manager/, 1, @engines);
	others(qr/^worker process$/, 3, @workers);

	return ();
}

# So many are there, and none of the old ones.

sub others {
	my ($re, $n, @old) = @_;

	my %old = map { $_ => 1 } @old;

	Test::Confluence::wait_for(sub {
		my @new = $c->processes($re);
		@new == $n && !grep { $old{$_} } @new;
	}, 20, "$n of $re");
}

# All clients get something.

sub progress {
	my ($streams) = @_;

	$streams->wait_progress($streams->status(), 60);
}

# What is there when nothing is read any more.

sub settled {
	my ($name, $what) = @_;

	# what is cached is served without peers, whoever was killed

	is($c->streams({ torrent => $hot, peers => [ $seed ] })->report()
		->{complete}, 1, "$name: hot is read");
	killing($what, 0);

	my $r = $c->fetch($c->url($hot));
	like($r->{headers}, qr/^Cache-Status:.*\bhit\b/mi,
		"$name: hot is cached");
	ok($r->{body} eq $hot->{whole}, "$name: hot is right");

	my ($counted, $used, $grown, @strays) = (0, 0);

	eval { Test::Confluence::wait_for(sub {
		my $status = http_get('/status') || '';

		($counted) = $status =~ /^Cache: (\d+) bytes/m or return;
		$used = used();
		@strays = $c->strays();
		my ($loaded) = $status =~ /^# Torrents: (\d+)/m;
		$grown = grown($loaded);

		return !$grown && !@strays
			&& abs($counted - $used) < tolerance($used);
	}, 30, 'settled') };

	is("@strays", '', "$name: nothing is left behind");
	is($grown, '', "$name: no descriptors are left");
	cmp_ok(abs($counted - $used), '<', tolerance($used),
		"$name: what is counted is what is allocated")
		or diag("counted $counted, allocated $used");
}

# Bytes that are allocated for payload, in any layout.

sub used {
	my ($pages, $free) = map { $c->rows("PRAGMA $_") }
		qw/ page_count freelist_count /;

	return $c->used() + $c->files_used()
		+ ($pages ? 8192 * ($pages - $free) : 0);
}

# How far that may be from what is counted: of a database that is an estimate,
# and never too low.

sub tolerance {
	my ($used) = @_;

	return $layout->{sqlite} ? $mb / 4 + $used / 10 : $mb / 4;
}

# Who holds more descriptors than at first, but for those of some connections: a
# torrent that is loaded has one to the seeder.

sub grown {
	my ($loaded) = @_;

	my %now = $c->holds();

	return join ', ', map {
		"$_: $now{$_}{fds} descriptors, $before{$_}{fds} before"
	} grep { !$now{$_} || $now{$_}{fds} > $before{$_}{fds} + 3 + $loaded }
		sort keys %before;
}

sub explain_failed {
	my ($r) = @_;

	diag(join ' ', map { "$_=$r->{failed}[0]{$_}" }
		sort keys %{ $r->{failed}[0] }) if @{ $r->{failed} };
}
