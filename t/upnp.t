#!/usr/bin/perl

# Tests for confluence_upnp: a gateway is asked to forward the port, and to
# stop that when nginx stops; not with confluence_upnp off.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Confluence::Namespace;
use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $gateway = $c->spawn([ "$FindBin::Bin/tools/upnp_gateway.py",
	'--listen', '10.99.1.1:5000' ]);
$gateway->wait_line(qr/^READY/, 10);

conf(upnp => 'on');
$t->run()->plan(5);

ok(asked(qr/^add TCP 7020$/m), 'TCP port');
ok(asked(qr/^add UDP 7020$/m), 'UDP port');
$t->stop();
ok(asked(qr/^delete TCP 7020$/m), 'not forwarded any more');

# a gateway that is there before is asked within a second

my $n = lines();
conf(upnp => 'off');
$t->run();
like(http_get('/status'), qr/Listen port: 7020/, 'off, running');
$t->stop();
is(lines(), $n, 'off, not asked');

sub asked {
	my ($re) = @_;

	return eval {
		Test::Confluence::wait_for(sub { $gateway->output() =~ $re }, 8,
			'asked');
		1;
	};
}

sub lines {
	my @lines = split /\n/, $gateway->output();
	return scalar @lines;
}

sub conf {
	my $conf = $c->conf(listen => '10.99.20.1:7020', utp => 'on', @_);

	$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

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
