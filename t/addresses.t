#!/usr/bin/perl

# An interface that we listen on comes late, goes away, and another with its name
# and address comes, as when a VPN connects anew: peers are reached each time.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Confluence::Namespace;
use Test::Nginx qw/ :DEFAULT /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $root = abs_path("$FindBin::Bin/..");
my $build = $ENV{BUILD} || "$root/build";

plan(skip_all => 'no tun devices') unless -w '/dev/net/tun';

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent', 'ip');

system("make -s -C $root tools") == 0 or die "Can't make the tools\n";

my @wire = ("$build/tools/wire", 100000000, 1, 0);
my $conf = $c->conf(listen => '10.98.0.1:' . Test::Confluence::free_port(),
	utp => 'on', tcp => 'off');

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
            confluence_wait_timeout 20s;
        }
    }
}

EOF

$t->plan(4);

# the interface comes when nginx runs already

$t->run();

my $seed;

for my $name ('a.bin', 'b.bin') {
	my $torrent = $c->torrent($name, size => 1024 * 1024, piece => 65536,
		seed => $name);

	$seed = $c->seed_libtorrent($torrent, by => \@wire, utp => 1,
		address => '10.98.0.2:' . Test::Confluence::free_port());

	my $r = $c->streams({ torrent => $torrent, peers => [ $seed ] })
		->report();

	is($r->{complete}, 1, "$name complete");
	is($r->{wrong}, 0, "$name right");

	# and goes

	$seed->stop();
	Test::Confluence::wait_for(sub { !address() }, 10, 'no interface');
}

sub address {
	return `ip addr show dev wire 2>/dev/null` =~ /10\.98\.0\.1\//;
}
