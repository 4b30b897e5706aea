#!/usr/bin/perl

# Tests for slow clients: what they are sent may be evicted meanwhile.  They get
# the right bytes, and keep no more than a segment of what is gone.

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
my $c = Test::Confluence->new($t)->has('libtorrent');

my $conf = $c->conf(cache_path => $t->testdir() . '/cache max_size=24m');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    server {
        listen       127.0.0.1:8080 sndbuf=64k;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF

my $mb = 1024 * 1024;
my $slow = $c->torrent('slow.bin', size => 20 * $mb, piece => 262144);
my $other = $c->torrent('other.bin', size => 23 * $mb, piece => 262144,
	seed => 1);
my $seed = $c->seed_libtorrent([ $slow, $other ]);

$t->run()->plan(7);

my ($worker) = $c->processes(qr/worker process/);

# whole, and in parts that lie in different segments

for my $range ('bytes=0-', 'bytes=' . join ',', map { $_ * 5 * $mb . '-'
	. ($_ * 5 + 4) * $mb } 0 .. 3)
{
	my $r = $c->fetch($c->url($slow, peers => [ $seed ]));
	ok($r->{body} eq $slow->{whole}, 'there');

	my $s = http(<<"EOF", start => 1);
GET ${\$c->url($slow, peers => [ $seed ])} HTTP/1.0
Host: localhost
Range: $range

EOF

	# what does not fit into the buffers of the sockets is held

	$s->blocking(1);
	read($s, my $head, 1000);

	$r = $c->fetch($c->url($other, peers => [ $seed ]));

	ok(eval {
		Test::Confluence::wait_for(sub { held() == 1 }, 20, 'one')
	}, 'one segment is held') or diag('held: ' . held());

	local $/;
	my $rest = <$s>;
	$r = http_content($head . $rest);

	if ($range =~ /,/) {
		my @parts = map { substr($slow->{whole}, $_ * 5 * $mb,
			4 * $mb + 1) } 0 .. 3;

		is(scalar(grep { index($r, $_) > 0 } @parts), 4, 'all parts');

	} else {
		ok($r eq $slow->{whole}, 'all bytes');
	}
}

ok(eval { Test::Confluence::wait_for(sub { held() == 0 }, 20, 'none') },
	'none is held any more');

# Files of the worker that are evicted.

sub held {
	return scalar grep { defined && m!/pieces/.* \(deleted\)$! }
		map { readlink } glob("/proc/$worker/fd/*");
}
