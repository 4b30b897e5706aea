#!/usr/bin/perl

# The cases of t/conformance/run about a server that is started otherwise: with
# small caches and one without a limit, on a full disk, with trackers overridden.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT /;
use Test::Confluence;
use Test::Confluence::Judge;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t);

my $dir = $t->testdir();
my $size = 64 * 1048576;

my @cases = (
	cases("$dir/small max_size=$size", '--cache-size', $size,
		'--cache-dir', "$dir/small/pieces", qw/ 71 I8 /),
	cases("$dir/tiny max_size=20000", qw/ --tiny-cache 71a /),
	cases("$dir/unlimited max_size=off", qw/ --unlimited --override I7 I11 /),
);

mkdir "$dir/disk";

if (system("mount -t tmpfs -o size=24m none $dir/disk 2>/dev/null") == 0) {
	push @cases, cases("$dir/disk/cache max_size=off",
		qw/ --full-disk I6 /);

} else {
	push @cases, { name => 'I6', text => 'no tmpfs', verdict => 'skip' };
}

END {
	local $?;
	system("umount -l $dir/disk 2>/dev/null") if $dir;
}

$t->plan(@cases + 1);

is(@cases, 6, 'cases were run');
verdict($_) for @cases;

# What a server with this cache is found to do.

sub cases {
	my ($path, @arguments) = @_;

	my $conf = $c->conf(cache_path => $path, pex => 'off',
		trackers => 'off', override_trackers => 'on');
	my ($address) = $conf =~ /confluence_listen (\S+);/;

	$t->write_file_expand('nginx.conf', <<'EOC' =~ s/%%CONFLUENCE%%/$conf/r);

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

EOC

	$t->run();
	my @cases = judge('http://127.0.0.1:' . port(8080),
		'--torrent-address', $address, @arguments);
	$t->stop();

	return @cases;
}
