#!/usr/bin/perl

# Tests with peers that sit on what a reader waits for while another could
# give it: the other is asked after some seconds.

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

my $conf = $c->conf();

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

$t->run()->plan(25);

# Of a piece with four blocks one peer gives a bad one and then nothing.  With
# the blocks of the other, good one the piece is bad, so both are suspects; a
# suspect is not asked for pieces that others have blocks of, and the silent
# one still owes some.

my $torrent = $c->torrent('spoiled.bin', size => 65536, piece => 65536);
my $bad = $c->seed_scripted($torrent, mode => 'spoil:1');

my $first = $c->fetch_start($c->url($torrent, peers => [ $bad ]));
$bad->wait_line(qr/^request 0 49152 /);

my $good = $c->seed_libtorrent($torrent);
my $r = $c->fetch($c->url($torrent, peers => [ $good ]));

is($r->{status}, 200, 'a bad block and silence, status');
ok($r->{body} eq $torrent->{whole}, 'a bad block and silence, data');
ok($c->fetch_end($first)->{body} eq $torrent->{whole},
	'a bad block and silence, the first reader');

$_->stop() for $bad, $good;

# A peer that is alone with what it has is not dropped.

$torrent = $c->torrent('alone.bin', size => 600000, piece => 65536);
my $held = $c->seed_scripted($torrent, mode => 'hold');
my $other = $c->seed_scripted($torrent, have => '5-9');

my $fetch = $c->fetch_start($c->url($torrent, peers => [ $held, $other ]));
$held->wait_line(qr/^request /);
ok(!eval { $held->wait_line(qr/^close/, 4) }, 'nobody else has it, kept');
$held->tell('give all');
ok($c->fetch_end($fetch)->{body} eq $torrent->{whole},
	'nobody else has it, data');

$_->stop() for $held, $other;

# Answers of another piece's index leave the requests as they were, and make
# the good peer a suspect, of several pieces at once: it must not be banned.

for my $n (1 .. 10) {
	$torrent = $c->torrent("wrong$n.bin", size => 2000000, piece => 65536,
		seed => $n);
	$bad = $c->seed_scripted($torrent, mode => 'wrongindex');
	$good = $c->seed_libtorrent($torrent);

	$r = $c->fetch($c->url($torrent, peers => [ $bad, $good ]));
	is($r->{status}, 200, "wrong index $n, status");
	ok($r->{body} eq $torrent->{whole}, "wrong index $n, data");

	$_->stop() for $bad, $good;
}
