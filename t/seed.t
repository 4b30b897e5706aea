#!/usr/bin/perl

# Tests for confluence_seed off: others are given their share while there are
# readers and for a while after them, then nothing, until there are readers
# again.  t/upload.t has the tests for confluence_seed on.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $conf = $c->conf(seed => 'off', pex => 'off');

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
            confluence_wait_timeout 30s;
        }
    }
}

EOF

# nobody has the end, so that a reader of it stays

my $torrent = $c->torrent('a.bin', size => 100000);
my $seed = $c->seed_scripted($torrent, have => '0-2');
my $url = $c->url($torrent, peers => [ $seed ]);

$t->run()->plan(4);

my $r = $c->fetch({ url => $url, args => [ '-r', '0-49151' ] });
is($r->{body}, substr($torrent->{whole}, 0, 49152), 'read');

cmp_ok(given(), '>', 0.4, 'given just after it was read');

# the same patience as above, hence nothing means that nothing is given

ok(eval {
	Test::Confluence::wait_for(sub { given() == 0 }, 16, 'not given');
}, 'not given once readers are gone');

my $reader = $c->fetch_start({ url => $url, args => [ '-r', '80000-' ] });

cmp_ok(given(), '>', 0.4, 'given while it is read');

$reader->stop();

# What another client gets of it from us within some seconds.

sub given {
	return $c->leech($torrent->{file}, peers => [ $c->{listen} ],
		timeout => 2)->{progress};
}
