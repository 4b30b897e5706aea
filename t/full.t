#!/usr/bin/perl

# Tests for a disk that is full below the limit of the cache, by the cache
# itself and by others.

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
plan(skip_all => 'no tmpfs')
	if system("mount -t tmpfs -o size=24m none $dir/disk 2>/dev/null") != 0;

END {
	local $?;
	system("umount -l $dir/disk 2>/dev/null") if $dir;
}

my $conf = $c->conf(
	cache_path => "$dir/disk/cache max_size=off",
	wait_timeout => '10s'
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

my $mb = 1024 * 1024;
my $piece = 262144;
my $old = $c->torrent('old.bin', size => 12 * $mb, piece => $piece,
	seed => 1);
my $big = $c->torrent('big.bin', size => 60 * $mb, piece => $piece);
my $small = $c->torrent('small.bin', size => 100000, seed => 2);
my $next = $c->torrent('next.bin', size => 2 * $mb, piece => $piece,
	seed => 3);
my $seed = $c->seed_libtorrent([ $old, $big, $small, $next ]);

$t->run()->plan(10);

fetched($old, 'there is room');
fetched($big, 'more than the disk has, through what is evicted');

# somebody else takes all that is left

foreign('foreign');
ok(free() < 65536, 'full');

fetched($small, 'another torrent', 1);

# and all that there is

$t->stop();
system("rm -rf $dir/disk/cache/*");
foreign('foreign2');
$t->run();

is($c->fetch(url($next))->{status}, 507, 'nothing to evict');
like(http_get('/health'), qr/ 200 OK/, 'healthy');

unlink "$dir/disk/foreign2";
truncate "$dir/disk/foreign", 20 * $mb;

# its map has room, a piece of it has not

my $r = $c->fetch(url($big));
ok(index($big->{whole}, $r->{body}) == 0 || $r->{status} == 507,
	'too little for a window: no wrong byte');

unlink "$dir/disk/foreign";

fetched($next, 'there is room again', 1);
fetched($old, 'and for more', 1);

$t->stop();
is(system("umount $dir/disk"), 0, 'nothing is open there after a stop');

sub url {
	my ($torrent) = @_;

	return $c->url($torrent, peers => [ $seed ]);
}

# again: what is evicted has room when workers have closed it, and it may be a
# minute until the cache tries how much there is

sub fetched {
	my ($torrent, $name, $again) = @_;
	my $r;

	eval {
		Test::Confluence::wait_for(sub {
			$r = $c->fetch({ url => url($torrent), timeout => 60 });
			!$again || $r->{body} eq $torrent->{whole}
		}, 80, $name);
	};

	ok($r->{body} eq $torrent->{whole}, $name)
		or diag("$r->{status}, $r->{size} bytes");
}

sub foreign {
	my ($name) = @_;

	system("dd if=/dev/zero of=$dir/disk/$name bs=64k 2>/dev/null");
}

sub free {
	my ($kb) = (split ' ', (split /\n/, `df -k $dir/disk`)[1])[3];

	return $kb * 1024;
}
