#!/usr/bin/perl

# Tests with processes that die while data is uploaded: what is told to be taken
# is there, whole, and of what is not nothing is left.

use warnings;
use strict;

use Digest::SHA qw/ sha1_hex /;
use FindBin;
use Test::More;
use Time::HiRes qw/ sleep /;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('curl');
my $dir = $t->testdir();
my $mb = 1024 * 1024;
my @kills = ('engine', 'worker', 'takeover', 'all') x 2;

write_conf('segments');
$t->run()->plan(2 * (6 + 4 * @kills) + 1);

srand(4711);

my ($n, $uploads) = (0, 0);

for my $layout (qw/ segments files /) {
	write_conf($layout);
	reload();

	# a worker that is to leave takes what still comes

	for my $i (1 .. 5) {
		my $r = upload(60, undef, sub { reload() });
		is($r->{status}, 200, "$layout, reload $i");
	}

	# the next engine goes on where one has ended

	my $engine = ($c->processes(qr/^cache manager/))[-1];
	my $place = $dir . ($layout eq 'files' ? '/cache/files/*'
		: '/cache/pieces/*/0.*');
	my %had = map { $_ => 1 } glob($place);

	my $r = upload(120, undef, sub {
		Test::Confluence::wait_for(sub {
			grep { !$had{$_} } glob($place)
		}, 20, 'some of it is taken');
		kill 'KILL', $engine;
	});
	is($r->{status}, 200, "$layout, half of it is taken");

	for my $i (0 .. $#kills) {
		round("$layout, $kills[$i]", $kills[$i], $i);
	}
}

my @errors = $t->read_file('error.log') =~ /^.*\[(?:emerg|crit)\].*$/mg;
is("@errors", '', 'no critical errors');

$c->expect_alerts(qr/exited on signal 9/);

# An upload, and a death: somewhere in the 1.2 s that its body takes, or near the
# time when it becomes a torrent.

sub round {
	my ($name, $what, $i) = @_;

	my $fast = $i / 4 % 2;

	$name = ++$n . ", $name";
	truncate("$dir/cache/lock", 0);

	my $r = upload(9, $fast ? undef : '8M', sub {
		sleep($fast ? rand(0.12) : 1.2 * $i / @kills);
		killing($what);
	});
	my $taken = $r->{status} == 200;

	# whoever lost the worker gets no answer

	my $refused = $what =~ /^(?:worker|all)$/ && $r->{error}
		&& $r->{status} =~ /^(?:0|100)$/;

	ok($taken || $refused, "$name: taken or not")
		or diag("$r->{status}, curl $r->{error}: $r->{body}");

	Test::Confluence::wait_for(sub { http_get('/health') =~ / 200 / }, 20,
		'health');

	ok(!$taken || $c->fetch('/data?ih=' . ih($r->{body}))->{body}
		eq Test::Confluence::slurp("$dir/upload.bin"), "$name: right");

	my ($counted, $used, @strays) = (0, 0);

	eval { Test::Confluence::wait_for(sub {
		($counted) = http_get('/status') =~ /^Cache: (\d+) bytes/m
			or return;
		$used = $c->used() + $c->files_used();

		# one that is loaded has a map before it has payload
		@strays = grep { !/^map of/ } $c->strays();

		return !@strays && abs($counted - $used) < $mb / 4;
	}, 30, 'settled') };

	is("@strays", '', "$name: nothing is left behind");
	cmp_ok(abs($counted - $used), '<', $mb / 4,
		"$name: what is counted is what is allocated")
		or diag("counted $counted, allocated $used");
}

# An upload of so many MiB that were never seen, during which something is done.

sub upload {
	my ($size, $rate, $code) = @_;

	$uploads++;

	Test::Confluence::spew("$dir/upload.bin",
		$c->bytes($size * $mb + 12345, $uploads));

	my $fetch = $c->fetch_start({ url => '/upload', args => [
		$rate ? ('--limit-rate', $rate) : (), '-F', "name=$uploads.bin",
		'-F', "files=\@$dir/upload.bin" ] });

	Test::Confluence::wait_for(sub {
		$fetch->ended() || glob("$dir/cache/upload/*")
	}, 20, 'uploading');
	$code->();

	return $c->fetch_end($fetch);
}

# Kills; another is there when it returns.

sub killing {
	my ($what) = @_;

	my $re = $what eq 'worker' ? qr/^worker process/ : qr/^cache manager/;

	if ($what eq 'all') {
		$c->kill_all();
		$t->run();
		return;
	}

	reload() if $what eq 'takeover';

	my %old = map { $_ => 1 } $c->processes($re);

	kill 'KILL', keys %old;

	Test::Confluence::wait_for(sub {
		my @new = $c->processes($re);
		@new == 1 && !grep { $old{$_} } @new;
	}, 20, "$what respawned");
}

sub reload {
	my %old = map { $_ => 1 } $c->processes(qr/^worker process$/);

	$t->reload();

	Test::Confluence::wait_for(sub {
		my @new = $c->processes(qr/^worker process$/);
		@new == 1 && !grep { $old{$_} } @new;
	}, 20, 'reloaded');
}

# The infohash of a .torrent.

sub ih {
	my ($torrent) = @_;

	$torrent =~ /4:info(d.*6:pieces(\d+):)/s or return '';

	return sha1_hex($1 . substr($torrent, $+[1], $2) . 'e');
}

sub write_conf {
	my ($layout) = @_;

	my $conf = $c->conf(torrent_grace => '1h',
		cache_path => "$dir/cache layout=$layout max_size=512m");

	$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    access_log  off;

$conf

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        client_max_body_size 200m;

        location / {
            confluence;
        }
    }
}

EOF
}
