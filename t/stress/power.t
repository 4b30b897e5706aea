#!/usr/bin/perl

# Power cuts (POWER_ROUNDS), real ones for the file system: ext4 on a loop
# device is shut down as it is, with all that was not written yet, while
# torrents are fetched, evicted and read, some files just synced, others not.
# It is mounted again, and nginx, started in what it takes for another boot,
# serves no byte that is not right.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx qw/ :DEFAULT http_content /;
use Test::Confluence;
use IO::Handle;
use Time::HiRes qw/ sleep /;

use constant SHUTDOWN => 0x8004587d;	# EXT4_IOC_SHUTDOWN
use constant NOLOGFLUSH => 2;

select STDERR; $| = 1;
select STDOUT; $| = 1;

plan(skip_all => 'must be root') if $> != 0;
plan(skip_all => 'no mount namespaces')
	if system('unshare -m true 2>/dev/null') != 0;

my $rounds = $ENV{POWER_ROUNDS} || 12;
my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');
my $dir = $t->testdir();
my $mb = 1024 * 1024;
my $piece = 262144;

mkdir "$dir/disk";
my $image = "$dir/image";

open my $fh, '>', $image or die;
truncate $fh, 96 * $mb;
close $fh;

plan(skip_all => 'no ext4 on a loop device')
	if system("mkfs.ext4 -q -F $image 2>/dev/null") != 0 || !on();

END {
	local $?;
	system("umount -l $dir/disk 2>/dev/null") if $dir;
}

my @torrents = ((map {
	$c->torrent("t$_.bin", size => 12 * $mb + 1000, piece => $piece,
		seed => $_)
} 0 .. 1), $c->torrent('many', piece => $piece, seed => 2, files => [
	map { [ "f$_.bin", 2 * $mb + $_ ] } 0 .. 4 ]));

my $seed = $c->seed_libtorrent(\@torrents);

diag('POWER_SEED=' . srand($ENV{POWER_SEED} || time()));

$t->plan(5 * $rounds);

my %sum;

for my $round (1 .. $rounds) {
	my $sealed = $round % 4 == 0;

	conf($round, $sealed ? 60 : 20 + $round % 5 * 10);
	$c->reboot();
	$t->run();
	life($sealed);

	if ($sealed) {
		$c->fetch($c->url($_, peers => [ $seed ])) for @torrents;
		$t->stop();
		off();

	} else {
		# maps that are ahead of the data
		synced(grep { rand() < 0.7 }
			glob "$dir/disk/cache/pieces/*/map");
		off();
		$c->kill_all();
	}

	Test::Confluence::wait_for(sub {
		system("umount $dir/disk 2>/dev/null") == 0
	}, 10, 'unmounted');

	# a copy: mount namespaces of others may have the file system mounted

	system("cp --sparse=always $image $image.");
	unlink $image;
	$image .= '.';

	on() or die "Can't mount: $!\n";

	# what is there, without peers

	$c->reboot();
	my $doubts = start();

	is($sealed ? $doubts : 0, 0, "round $round: in doubt ($doubts)");

	my ($good, $bad) = (0, 0);

	for my $torrent (@torrents) {
		my ($g, $b) = look($torrent);
		$good += $g;
		$bad += $b;
	}

	is($bad, 0, "round $round: wrong pieces ($good right, without peers)");

	$sum{doubts} += $doubts;
	$sum{good} += $good;

	# and with them

	ok($c->fetch($c->url($_, peers => [ $seed ]))->{body} eq $_->{whole},
		"round $round: $_->{name}") for @torrents;

	# most rounds begin with nothing, some with what is there

	$t->stop();
	system("rm -rf $dir/disk/cache") if rand() < 0.7;
}

diag("$sum{doubts} pieces were in doubt, $sum{good} were served without peers");

# Fetches this and that, and brings some of it to disk.

sub life {
	my ($whole) = @_;

	my @running = map {
		my $torrent = $torrents[rand @torrents];
		my $first = int rand(length($torrent->{whole}) - 1);

		$c->fetch_start({ url => $c->url($torrent, peers => [ $seed ]),
			args => [ '--limit-rate', '6m', '-r', "$first-" ] })
	} 1 .. 4;

	for (1 .. 2 + rand 6) {
		sleep(rand 0.3);

		my @files = grep { -f } glob("$dir/disk/cache/pieces/*/*"),
			glob("$dir/disk/cache/files/*/*/*"),
			glob("$dir/disk/cache/*.db*");

		# all; some, among them maps that tell of what is not there

		if (rand() < 0.15) {
			system("sync -f $dir/disk/cache");

		} else {
			synced(grep {
				m!/map$! ? rand() < 0.7 : rand() < 0.2
			} @files);
		}
	}

	if ($whole) {
		$c->fetch_end($_) for @running;

	} else {
		$_->stop() for @running;
	}
}

# They may be gone meanwhile.

sub synced {
	for my $file (@_) {
		open my $fh, '<', $file or next;
		$fh->sync();
	}
}

# Pieces of a torrent that are served, and how many of them are wrong.

sub look {
	my ($torrent) = @_;
	my ($good, $bad) = (0, 0);

	my @results = $c->fetch(map { {
		url => $c->url($torrent), timeout => 20,
		args => [ '-r', $_ * $piece . '-'
			. ($_ * $piece + $piece - 1) ]
	} } 0 .. $torrent->{pieces} - 1);

	for (0 .. $#results) {
		next unless $results[$_]{status} == 206;

		if (substr($torrent->{whole}, $_ * $piece,
			length $results[$_]{body}) eq $results[$_]{body})
		{
			$good += length $results[$_]{body} > 0;

		} else {
			$bad++;
		}
	}

	return ($good, $bad);
}

sub on {
	return system("mount -o loop,commit=1 $image $dir/disk 2>/dev/null")
		== 0;
}

sub off {
	my $flags = pack('L', NOLOGFLUSH);

	open my $fh, '<', "$dir/disk" or die "Can't open: $!\n";
	ioctl($fh, SHUTDOWN, $flags) or die "ioctl(): $!\n";
}

sub start {
	my $before = () = $t->read_file('error.log') =~ /pieces in doubt/g;

	$t->run();

	return Test::Confluence::wait_for(sub {
		my @n = $t->read_file('error.log') =~ /(\d+) pieces in doubt/g;
		@n > $before ? [ $n[-1] ] : 0
	}, 10, "engine started")->[0];
}

sub conf {
	my ($round, $size) = @_;
	my $layout = (qw/ segments files sqlite /)[$round % 3];

	my $conf = $c->conf(
		cache_path => "$dir/disk/cache max_size=${size}m layout=$layout",
		wait_timeout => '1s',
		torrent_grace => '1h',
	);

	$t->write_file_expand('nginx.conf',
		<<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

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
}
