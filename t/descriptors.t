#!/usr/bin/perl

# A worker that runs out of descriptors takes those of segments that nobody
# reads, which it keeps open.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('make');

my $conf = $c->conf();

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

my @ih = $c->fill(200);

$t->run()->plan(5);

is(right(0 .. 99), 100, 'all are read');

my ($worker) = $c->processes(qr/^worker process/);
my $open = open_files();

# as much again for a connection and what it opens besides

cmp_ok($open, '>', 100, 'segments are kept open');
system('prlimit', '--pid', $worker, '--nofile=' . ($open + 2));
is($?, 0, 'no more descriptors');

is(right(0 .. 199), 200, 'all others are read');
cmp_ok(open_files(), '<=', $open + 2, 'the limit is kept');

sub right {
	return scalar grep {
		http_content(http_get("/data?ih=$ih[$_]&path=f$_"))
			eq substr("$_\n" x 16384, 0, 16384)
	} @_;
}

sub open_files {
	return scalar(() = glob("/proc/$worker/fd/*"));
}
