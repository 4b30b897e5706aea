#!/usr/bin/perl

# Tests for metadata that some peers of a swarm give wrong.

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

my $conf = $c->conf(wait_timeout => '40s');

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
    }
}

EOF

$t->run()->plan(3);

# of one block, by many bad peers and one that is good

my $torrent = $c->torrent('a.bin', size => 300000, piece => 65536);
my @bad = map { $c->seed_scripted($torrent, mode => 'metabad') } 1 .. 6;

told($torrent, 'one block', \@bad, $c->seed_libtorrent($torrent));

# of several blocks: nobody knows who gave the wrong one

$torrent = $c->torrent('b.bin', size => 24 * 1024 * 1024, piece => 16384);
@bad = map { $c->seed_scripted($torrent, mode => 'metabad') } 1 .. 2;

cmp_ok(length $torrent->{info}, '>', 16384, 'several blocks');
told($torrent, 'several blocks', \@bad, $c->seed_libtorrent($torrent));

# The good one comes when the bad ones have been asked.

sub told {
	my ($torrent, $name, $bad, $good) = @_;

	my $before = refused();

	$c->fetch($c->url($torrent, route => '/info', nowait => 1,
		peers => $bad));
	Test::Confluence::wait_for(sub { refused() > $before }, 20, 'refused');

	my $r = $c->fetch({ timeout => 50,
		url => $c->url($torrent, route => '/info', peers => [ $good ]) });

	ok($r->{status} == 200 && $r->{body} eq $torrent->{info}, $name);
}

sub refused {
	return scalar(() = $t->read_file('error.log')
		=~ /metadata from a peer refused/g);
}
