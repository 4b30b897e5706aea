#!/usr/bin/perl

# The HTTP interface of confluence, judged from outside by t/conformance/run:
# 75 cases and the improvements, which judge any other server as well.  Those
# that need one that was started otherwise are in conformance_*.t.

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

my $conf = $c->conf(trackers => 'off', pex => 'off');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

    types {
        image/png   png;
        text/plain  txt;
    }

    default_type  application/octet-stream;

%%CONFLUENCE%%

    client_max_body_size  100m;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }

        location = /metrics {
            confluence metrics;
        }

        location /debug/ {
            confluence debug;
        }
    }
}

EOF

my ($address) = $conf =~ /confluence_listen (\S+);/;

# a reload stands for a restart: a new engine takes what the old one left
my $dir = $t->testdir();

$t->run();

my @cases = judge('http://127.0.0.1:' . port(8080),
	'--torrent-address', $address, '--big', '--debug',
	'--restart-command', "kill -HUP \$(cat $dir/nginx.pid)");

$t->plan(@cases + 1);

cmp_ok(scalar @cases, '>', 90, 'cases were run');
verdict($_) for @cases;
