#!/usr/bin/perl

# Tests for layout=sqlite on a disk that is full, that has lost what was written
# last, or that spoils what it has.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

plan(skip_all => 'must be root') if $> != 0;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent', 'sqlite3');

my $dir = $t->testdir();
my $mb = 1024 * 1024;

mkdir "$dir/disk";
plan(skip_all => 'no tmpfs') if system('unshare -m true 2>/dev/null') != 0
	|| system("mount -t tmpfs -o size=40m none $dir/disk 2>/dev/null") != 0;

END {
	local $?;
	system("umount -l $dir/disk 2>/dev/null") if $dir;
}

my $conf = sub {
	my (%o) = @_;

	my $text = $c->conf(torrent_grace => '1h', wait_timeout => '10s', %o);

	$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$text/r);

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
};

my $piece = 128 * 1024;
my $some = $c->torrent('some.bin', size => 3 * $mb + 1000, piece => $piece);
my $v2 = $c->torrent('v2.bin', kind => 'v2', size => 2 * $mb, piece => $piece);
my $large = $c->torrent('large.bin', size => 60 * $mb, piece => 262144);
my $seed = $c->seed_libtorrent([ $some, $v2, $large ]);

# what is left of a disk is kept for removing something

$conf->(cache_path => "$dir/disk/cache max_size=off layout=sqlite");
$t->run()->plan(19);

my $db = "$dir/disk/cache/pieces.db";
my $low = 40 * $mb;
my $fetch = $c->fetch_start({ url => $c->url($large, peers => [ $seed ]),
	timeout => 50 });

until ($fetch->ended()) {
	my $n = left();
	$low = $n if $n < $low;
	$fetch->output();
	select undef, undef, undef, 0.05;
}

my $r = $c->fetch_end($fetch);
ok($r->{body} eq $large->{whole}, 'a full disk, every byte');
cmp_ok($low, '>', $mb, 'a full disk, not all of it is taken');

# others have taken the rest

system("head -c 40m /dev/zero > $dir/disk/other 2>/dev/null");
is(left(), 0, 'a disk without any room');

$r = $c->fetch({ url => $c->url($some, peers => [ $seed ]), timeout => 20 });
ok($r->{status} >= 500 || $r->{body} eq $some->{whole},
	'a disk without any room, no bad byte');
$r = $c->fetch('/health');
is($r->{status}, 200, 'a disk without any room, healthy');

unlink "$dir/disk/other";
Test::Confluence::wait_for(sub {
	$r = $c->fetch({ url => $c->url($some, peers => [ $seed ]),
		timeout => 20 });
	$r->{body} eq $some->{whole}
}, 40, 'room again');
ok($r->{body} eq $some->{whole}, 'room again, served');

$t->stop();
is(system("umount $dir/disk"), 0, 'nothing is open there after a stop');

# a power cut: all of it is in doubt

$db = "$dir/cache/pieces.db";
$conf->(cache_path => "$dir/cache layout=sqlite");
$t->run();
fetched($_, "$_->{name} fetched") for $some, $v2;

# hashes of v2 are known when it has been dropped once

$t->stop();
$t->run();
wait_healthy();

$c->kill_all();
$c->reboot();
spoil($some, 3);
sql("DELETE FROM block WHERE id = " . row($some, 5));
$seed->stop();
is(start(), 25 + 16, 'after a power cut all pieces are in doubt');
$seed = $c->seed_scripted($some);
fetched($some, 'what was lost is fetched again');

my %asked = map { $_ => 1 } $seed->output() =~ /^request (\d+) /mg;
is(join(' ', sort { $a <=> $b } keys %asked), '1 2', 'and nothing else');
fetched($v2, 'others are there');

$t->stop();
is(start(), 0, 'after a stop in order nothing is in doubt');

# what is spoilt is found

$t->stop();
$seed->stop();
$conf->(cache_path => "$dir/cache layout=sqlite",
	scrub => '100m interval=500ms');
$t->run();
spoil($some, 20);
Test::Confluence::wait_for(sub { $t->read_file('error.log') =~
	/\[crit\] .*?"$some->{ih}": piece 10 is corrupt/ }, 20, 'found');
like($c->fetch($c->url($some, route => '/fileState', path => 'some.bin'))
	->{body}, qr/"Complete": ?false/, 'what is spoilt is found');
$seed = $c->seed_libtorrent([ $some, $v2 ]);
fetched($some, 'and fetched again');

# a row that is not there: who reads it first gets no more, and others do

$t->stop();
$conf->(cache_path => "$dir/cache layout=sqlite");
$t->run();
wait_healthy();
sql('DELETE FROM block WHERE id = ' . row($some, 2));
$r = $c->fetch($c->url($some));
isnt($r->{error}, 0, 'a row is missing, the response ends');
ok($r->{body} eq substr($some->{whole}, 0, length $r->{body}),
	'a row is missing, no bad byte');
fetched($some, 'a row is missing, fetched again');

sub fetched {
	my ($torrent, $name) = @_;

	ok($c->fetch($c->url($torrent, peers => [ $seed ]))->{body}
		eq $torrent->{whole}, $name);
}

sub wait_healthy {
	Test::Confluence::wait_for(sub { http_get('/health') =~ / 200 OK/ },
		20, 'healthy');
}

sub left {
	return (split ' ', `stat -f -c '%a %S' $dir/disk`)[0] * 4096;
}

# Starts it; returns the number of pieces in doubt.

sub start {
	my $before = () = $t->read_file('error.log') =~ /pieces in doubt/g;

	$t->run();

	return Test::Confluence::wait_for(sub {
		my @n = $t->read_file('error.log') =~ /(\d+) pieces in doubt/g;
		@n > $before ? [ $n[-1] ] : 0
	}, 10, 'engine started')->[0];
}

# A row of a torrent gets other bytes.

sub spoil {
	my ($torrent, $n) = @_;

	sql('UPDATE block SET data = zeroblob(length(data)) WHERE id = '
		. row($torrent, $n));
}

sub row {
	my ($torrent, $n) = @_;

	return "(SELECT id << 32 FROM torrent WHERE ih = x'$torrent->{ih}') + $n";
}

sub sql {
	system('sqlite3', '-cmd', '.timeout 5000', $db, $_[0]) == 0
		or die "sqlite3 failed\n";
}
