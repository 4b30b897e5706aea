#!/usr/bin/perl

# An interface that we listen on comes late, goes away, and another with its name
# and address comes, as when a VPN connects anew: peers are reached each time.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Confluence::Namespace;
use Test::Nginx qw/ :DEFAULT /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');
my $wire = $c->wire(100000000, 1, 0);

# nobody may bind to an IPv6 address for so many seconds

my $checked = '[fd00:97::1]:' . Test::Confluence::free_port();
my $checks = system('ip link add ours type veth peer name theirs 2>/dev/null'
	. ' && echo 3 >/proc/sys/net/ipv6/conf/ours/dad_transmits'
	. ' && ip link set theirs up && ip link set ours up'
	. ' && ip addr add fd00:97::1/64 dev ours') == 0;

my $conf = $c->conf(listen => '10.98.0.1:' . Test::Confluence::free_port()
	. ($checks ? " $checked" : ''), utp => 'on', tcp => 'off');

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

$t->run()->plan(6);

SKIP: {
	skip('no veth devices', 2) unless $checks;

	ok(logged(qr/listen on fd00:97::1.*Cannot assign requested address/),
		'an address that is being checked');
	ok(logged(qr/listening for peers on fd00:97::1 /), 'and was');
}

# the interface comes when nginx runs already

my $seed;

for my $name ('a.bin', 'b.bin') {
	my $torrent = $c->torrent($name, size => 1024 * 1024, piece => 65536,
		seed => $name);

	$seed = $c->seed_libtorrent($torrent, by => $wire, utp => 1,
		address => '10.98.0.2:' . Test::Confluence::free_port());

	my $r = $c->streams({ torrent => $torrent, peers => [ $seed ] })
		->report();

	is($r->{complete}, 1, "$name complete");
	is($r->{wrong}, 0, "$name right");

	# and goes

	$seed->stop();
	Test::Confluence::wait_for(sub { !address() }, 10, 'no interface');
}

sub logged {
	my ($line) = @_;

	return eval {
		Test::Confluence::wait_for(sub {
			$t->read_file('error.log') =~ $line
		}, 20, $line)
	};
}

sub address {
	return `ip addr show dev wire 2>/dev/null` =~ /10\.98\.0\.1\//;
}
