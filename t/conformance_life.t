#!/usr/bin/perl

# The cases of t/conformance/run about torrents that expire, an engine that
# stands still, and a stop.

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
my $conf = $c->conf(pex => 'off', torrent_grace => '2s',
	trackers => 'off', camouflage_data => "$dir/handshakes.db");
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

my $engine = "engine=\$(ps --ppid \$(cat $dir/nginx.pid) -o pid=,args= "
	. "| awk '/cache manager/ { print \$1 }'); kill -%s \$engine";

# a thread that waits for a disk lets the others go on until it is done
my $stopped = '; while grep -L "^State:.T" /proc/$engine/task/*/status '
	. '| grep -q .; do sleep 0.1; done';

my @cases = judge('http://127.0.0.1:' . port(8080),
	'--torrent-address', $address, '--grace', 2, '--destructive',
	'--camouflage', '--metainfo-dir', "$dir/cache/metainfo",
	'--freeze-command', sprintf($engine, 'STOP') . $stopped,
	'--thaw-command', sprintf($engine, 'CONT'),
	'--stop-command', "pid=\$(cat $dir/nginx.pid); kill -QUIT \$pid; "
		. "while [ -e $dir/nginx.pid ]; do sleep 0.1; done",
	qw/ 69 I3 I3a I4 I9 I10 I12 I26 /);

$t->plan(@cases + 1);

is(@cases, 8, 'cases were run');
verdict($_) for @cases;
