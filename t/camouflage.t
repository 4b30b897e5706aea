#!/usr/bin/perl

# Tests for confluence_camouflage_data: a row for the handshake of each peer.

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

my $db = $t->testdir() . '/peers.db';
my $torrent = $c->torrent('a.bin', size => 100000);
my $scripted = $c->seed_scripted($torrent);
my $seed = $c->seed_libtorrent($torrent);

conf($db);
$t->run()->plan(10);

ok($c->fetch($c->url($torrent, peers => [ $scripted, $seed ]))->{body}
	eq $torrent->{whole}, 'data');

my $rows = Test::Confluence::wait_for(sub {
	my @rows = rows();
	@rows >= 2 ? \@rows : undef;
}, 8, 'rows');

my ($row) = grep { $_->[3] eq $scripted->{address} } @$rows;
my ($other) = grep { $_->[3] eq $seed->{address} } @$rows;

ok($row && $other, 'both peers');
is($row->[0], $torrent->{ih}, 'infohash');
is($row->[1], '0000000000100004', 'extension bytes');
like($row->[2], qr/^"-SP0001-.*"$/, 'peer id');
like(pack('H*', $row->[4]), qr/^d.*11:ut_metadatai3e.*e$/s,
	'extended handshake');
is($row->[5], 'scripted good', 'version');
like($other->[5], qr/libtorrent/i, 'version of another');

# what cannot be opened hinders nothing

$t->stop();
conf($t->testdir() . '/none/peers.db');
$t->run();
is($c->fetch($c->url($torrent))->{status}, 200, 'served without it');
ok(Test::Confluence::wait_for(sub {
	$t->read_file('error.log') =~ /\[error\].*camouflage data: .*unable/
}, 8, 'log'), 'told in the log');

sub rows {
	my $text = `python3 -c "
import sqlite3, sys
for r in sqlite3.connect(sys.argv[1]).execute(
        'SELECT hex(infohash), hex(extension_bytes), peer_id, remote_addr, '
        'hex(extended_handshake), extended_v FROM peers'):
    print(*(str(c) for c in r), sep=chr(9))
" $db 2>/dev/null`;

	return map {
		my @row = split /\t/;
		[ lc $row[0], @row[1 .. 5] ]
	} split /\n/, $text;
}

sub conf {
	my $conf = $c->conf(camouflage_data => @_);

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
