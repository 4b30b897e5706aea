#!/usr/bin/perl

# Tests for a disk that is full, and a cache directory that is not usable.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

plan(skip_all => 'must be root') if $> != 0;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();

mkdir "$dir/disk";
plan(skip_all => 'no tmpfs') if system('unshare -m true 2>/dev/null') != 0
	|| system("mount -t tmpfs -o size=12m none $dir/disk 2>/dev/null") != 0;

END {
	local $?;
	system("umount -l $dir/disk 2>/dev/null") if $dir;
}


my $conf = $c->conf(
	cache_path => "$dir/disk/cache max_size=off",
	wait_timeout => "3s"
);

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

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

my $big = $c->torrent('big.bin', size => 30000000, piece => 262144);
my $small = $c->torrent('small.bin', size => 100000);
my $seed = $c->seed_libtorrent([ $big, $small ]);

$t->run()->plan(5);

my $r = $c->fetch({ url => $c->url($big, peers => [ $seed ]), timeout => 60 });
my $ok = substr($big->{whole}, 0, $r->{size}) eq $r->{body}
	|| $r->{status} >= 500;
ok($ok, 'full disk, no bad byte');

like(http_get('/health'), qr/ 200 OK/, 'healthy with a full disk');

$r = $c->fetch({ url => $c->url($small, peers => [ $seed ]), timeout => 20 });
ok($r->{status} == 200 && $r->{body} eq $small->{whole}
	|| $r->{status} >= 500, 'another torrent: served or refused');

# the processes do not burn for it

my $before = cpu();
select undef, undef, undef, 1;
cmp_ok((cpu() - $before) / 100, '<', 0.3, 'no busy loop');

$t->stop();

is(system("umount $dir/disk"), 0, 'nothing is open there after a stop');

sub cpu {
	my $sum = 0;
	my ($master) = Test::Confluence::slurp("$dir/nginx.pid") =~ /(\d+)/;

	for my $pid (split ' ', Test::Confluence::slurp(
		"/proc/$master/task/$master/children"))
	{
		my @f = split ' ', Test::Confluence::slurp("/proc/$pid/stat")
			=~ s/^.*\) //sr;
		$sum += $f[11] + $f[12];
	}

	return $sum;
}
