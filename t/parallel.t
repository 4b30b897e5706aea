#!/usr/bin/perl

# Tests for many requests at a time.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;

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

my $size = 6000000;
my @torrents = map {
	$c->torrent("t$_.bin", size => $size, piece => 65536, seed => $_)
} 0 .. 2;
my $seed = $c->seed_libtorrent(\@torrents);

$t->run()->plan(6);

srand(42);

# random ranges of one torrent, cold

my @r = ranges(50, $torrents[0]);
is(scalar(grep { $_->{ok} } @r), 50, 'random ranges, cold');

@r = ranges(50, $torrents[0]);
is(scalar(grep { $_->{ok} } @r), 50, 'random ranges, warm');

# all of several at once

@r = $c->fetch(map { $c->url($_, peers => [ $seed ]) } (@torrents) x 3);
is(scalar(grep { $r[$_]{body} eq $torrents[$_ % 3]{whole} } 0 .. 8), 9,
	'whole torrents');

# many that wait for what never comes

my @waiting = map { http_get('/data?ih=' . sprintf('%040x', $_),
	start => 1) } 1 .. 100;
is(scalar(grep { $_ } @waiting), 100, 'waiting');
like(http_get($c->url($torrents[1]) . '&path=t1.bin'), qr/ 200 OK/,
	'served beside them');
close $_ for @waiting;

ok(eval {
	Test::Confluence::wait_for(sub { http_get('/health') =~ / 200 / }, 5,
		'health')
}, 'healthy');

sub ranges {
	my ($n, $torrent) = @_;

	my @offsets = map { int rand($size - 100000) } 1 .. $n;
	my @r = $c->fetch(map { {
		url => $c->url($torrent, peers => [ $seed ]),
		args => [ '-r', $_ . '-' . ($_ + 99999) ],
	} } @offsets);

	$r[$_]{ok} = $r[$_]{body} eq substr($torrent->{whole}, $offsets[$_],
		100000) for 0 .. $#r;

	return @r;
}
