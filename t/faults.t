#!/usr/bin/perl

# Tests for disks that fail while nginx runs: nothing dies, what cannot be done
# is answered with an error, what is served is right; and all is well again
# when the disk is.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

use constant SHUTDOWN => 0x8004587d;	# EXT4_IOC_SHUTDOWN
use constant NOLOGFLUSH => 2;

select STDERR; $| = 1;
select STDOUT; $| = 1;

plan(skip_all => 'must be root') if $> != 0;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');
my $dir = $t->testdir();

mkdir "$dir/disk";
my $image = "$dir/image";

open my $fh, '>', $image or die;
truncate $fh, 64 * 1024 * 1024;
close $fh;

plan(skip_all => 'no ext4 on a loop device')
	if system("mkfs.ext4 -q -F $image 2>/dev/null") != 0 || !on();

END {
	local $?;
	system("umount -l $dir/disk 2>/dev/null") if $dir;
}

my $conf = $c->conf(
	cache_path => "$dir/disk/cache",
	wait_timeout => '5s',
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

        location /metrics {
            confluence metrics;
        }
    }
}

EOF

my $mb = 1024 * 1024;
my ($old, $part, $new) = map {
	$c->torrent("t$_.bin", size => 6 * $mb, piece => 262144, seed => $_)
} 0 .. 2;

my $seed = $c->seed_libtorrent([ $old, $part, $new ]);

$t->run()->plan(25);
begin();

# the counters are cut while all have them mapped

my @before = $c->processes(qr/worker process|cache manager/);

truncate "$dir/disk/cache/counters", 0;
served($old, 'counters cut');
served($new, 'counters cut');
like(http_get('/metrics'), qr/ 200 OK.*^confluence_/ms, 'metrics');
is(join(' ', sort $c->processes(qr/worker process|cache manager/)),
	join(' ', sort @before), 'nothing died');

# the directory is removed

system("rm -rf $dir/disk/cache");

served($old, 'directory removed');
failed($part, 'directory removed');
like(http_get('/health'), qr/ 200 OK/, 'healthy');

$t->stop();
begin();

# the file system turns read-only, as after an error

my ($device) = map { m!^/dev/(\w+) \Q$dir/disk\E ! } lines('/proc/mounts');

SKIP: {
	skip('no such fault', 3)
		unless open my $fh, '>', "/sys/fs/ext4/$device/trigger_fs_error";

	print $fh "test\n";
	close $fh;

	served($old, 'read-only');
	failed($part, 'read-only');
	failed($new, 'read-only');
}

again();

# the device is gone: each access is an error

my $flags = pack('L', NOLOGFLUSH);

open $fh, '<', "$dir/disk" or die "Can't open: $!\n";
ioctl($fh, SHUTDOWN, $flags) or die "ioctl(): $!\n";
close $fh;

failed($old, 'no device');
failed($part, 'no device');
failed($new, 'no device');
like(http_get('/health'), qr/ 200 OK/, 'healthy');

again();

$t->stop();
is(system("umount $dir/disk"), 0, 'nothing is open there after a stop');

# Starts with one torrent that is there, and one of which a part is.

sub begin {
	$t->run();
	served($old, 'fetched');

	my $r = $c->fetch({ url => url($part), args => [ '-r', '0-99' ] });
	ok($r->{body} eq substr($part->{whole}, 0, 100), 'a part is fetched');

	# what is below is no part of this test's faults
	system("sync -f $dir/disk");
}

sub again {
	$t->stop();

	Test::Confluence::wait_for(sub {
		system("umount $dir/disk 2>/dev/null") == 0
	}, 10, 'unmounted');

	# a copy: mount namespaces of others may have the file system mounted

	system("cp --sparse=always $image $image.");
	unlink $image;
	$image .= '.';

	# an error that was made up is noted there, too

	system("e2fsck -fy $image >/dev/null 2>&1");
	on() or die "Can't mount\n";

	begin();
	served($part, 'again');
}

sub served {
	my ($torrent, $name) = @_;

	my $r = $c->fetch(url($torrent));
	ok($r->{status} == 200 && $r->{body} eq $torrent->{whole},
		"$name: $torrent->{name}");
}

# By an error, or by the end of the connection.

sub failed {
	my ($torrent, $name) = @_;

	my $r = $c->fetch({ url => url($torrent), timeout => 20 });
	ok($r->{status} == 500 || $r->{size} < length $torrent->{whole}
		&& index($torrent->{whole}, $r->{body}) == 0,
		"$name: error, $torrent->{name}")
		or diag("$r->{status}, $r->{size} bytes");
}

sub url {
	my ($torrent) = @_;

	return $c->url($torrent, peers => [ $seed ]);
}

sub on {
	return system("mount -o loop,errors=remount-ro $image $dir/disk"
		. ' 2>/dev/null') == 0;
}

sub lines {
	return split /\n/, Test::Confluence::slurp($_[0]);
}
