#!/usr/bin/perl

# Tests for /status: what it says of the session, torrents, readers, peers,
# trackers and the cache, as text and as JSON.

use warnings;
use strict;

use FindBin;
use JSON::PP;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent', 'opentracker');

my $conf = $c->conf(cache_path => $t->testdir() . '/cache max_size=20m',
	torrent_grace => 'off');

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$conf/r);

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

my $piece = 65536;
my ($f1) = $c->fixtures();
my $held = $c->torrent('held.bin', size => 40 * $piece - 5, piece => $piece);
my $hybrid = $c->torrent('hybrid.bin', size => 3 * $piece, piece => $piece,
	kind => 'hybrid');
my $odd = $c->torrent("caf\xe9 \xc3\xa9\"\n.bin", size => 10);
my $peer = $c->seed_scripted($held, mode => 'hold');
my $seed = $c->seed_libtorrent([ $f1, $hybrid ]);
my $tracker = $c->tracker($f1);
my $nobody = 'http://127.0.0.1:' . Test::Confluence::free_port() . '/announce';

$t->run()->plan(50);

# nothing yet

like(json_get(), qr!^Content-Type: application/json\x0d$!m, 'type');

my $s = status();
is_deeply($s->{torrents}, [], 'no torrents');
is($s->{session}{workers}, 2, 'workers');
is($s->{session}{listenPort}, (split /:/, $c->{listen})[1], 'listen port');
is_deeply($s->{session}{listening}, [ $c->{listen} ], 'listening');
is($s->{session}{$_}, 0, "no $_") for qw/ peers readers waiting dhtNodes
	downloaded uploaded downloadRate uploadRate /;
is($s->{cache}{bytes}, 0, 'cache is empty');
is($s->{cache}{limit}, 20 * 1024 * 1024, 'its limit');
is($s->{cache}{evictedSegments}, 0, 'nothing evicted');
like($s->{version}, qr!^confluence-nginx/!, 'version');
like($s->{library}, qr!^libtorrent 2!, 'library');

# text has its type and form still

my $r = http_get('/status');
like($r, qr!^Content-Type: text/plain; charset=utf-8\x0d$!m, 'text type');
like($r, qr/^Listen port: \d+$/m, 'text listen port');
like($r, qr/^# Torrents: 0$/m, 'text no torrents');

# a torrent that is complete

is($c->fetch($c->url($f1, peers => [ $seed ],
	trackers => [ $tracker->{url}, $nobody ]))->{status}, 200, 'read');

$s = status();
my ($one) = @{ $s->{torrents} };

is(scalar @{ $s->{torrents} }, 1, 'one torrent');
is($one->{infohash}, $f1->{ih}, 'infohash');
is($one->{name}, 'fx1', 'name');
is($one->{size}, 19, 'size');
is($one->{completeBytes}, 19, 'complete bytes');
is("$one->{pieces} $one->{completePieces}", '1 1', 'pieces');
is($one->{holders}, 0, 'nobody holds it');
is($s->{session}{downloaded}, 19, 'downloaded');
is($s->{cache}{torrents}, 1, 'in the cache');
is($s->{cache}{bytes}, 4096, 'bytes, as they are on disk');

# its trackers

my %trackers = wait_for(sub {
	my %by = map { $_->{url} => $_ } @{ find($f1)->{trackers} };

	%by && defined $by{$tracker->{url}}{peers} && $by{$nobody}{fails}
		&& { %by };
}, 'trackers')->%*;

is($trackers{$tracker->{url}}{lastError}, undef, 'tracker without error');
like($trackers{$nobody}{lastError}, qr/refused/i, 'error of a tracker');

# a reader that waits, its window, its peer

my $fetch = $c->fetch_start($c->url($held, peers => [ $peer ]));
$peer->wait_line(qr/^request 0 /);
$peer->tell('give 0');
$peer->wait_line(qr/^request 1 /);

$one = wait_for(sub {
	my $x = find($held);
	$x && $x->{completePieces} && @{ $x->{readers} }
		&& $x->{readers}[0]{begin} >= $piece && $x;
}, 'reader');

is($one->{completeBytes}, $piece, 'bytes of complete pieces');
is($one->{holders}, 1, 'one holder');
is($one->{readers}[0]{begin}, $piece, 'reader begins');
cmp_ok($one->{readers}[0]{end}, '>', 2 * $piece, 'reader ends');
ok($one->{readers}[0]{waiting}, 'reader waits');
cmp_ok($one->{wantedPieces}, '>', 0, 'wanted pieces');
is(status()->{session}{waiting}, 1, 'one request waits');

my ($p) = @{ $one->{peers} };
is($p->{address}, $peer->{address}, 'address of the peer');
ok((grep { $_ eq 'interesting' } @{ $p->{flags} }), 'flags of the peer');

$peer->tell('give all');
$c->fetch_end($fetch);

# text in order, v2, and names of any bytes

is($c->fetch($c->url($hybrid, peers => [ $seed ]))->{status}, 200, 'hybrid');
is(find($hybrid)->{infohashV2}, $hybrid->{v2}, 'v2 infohash');
is($c->fetch({ url => '/metainfo', args => [ '--data-binary',
	"\@$odd->{file}" ] })->{status}, 200, 'odd name');
like(find($odd)->{name}, qr/^caf.*"\n\.bin$/, 'its name as JSON');

my @all = map { $_->{infohash} } @{ status()->{torrents} };
is("@all", join(' ', sort map { $_->{ih} } $f1, $held, $hybrid, $odd),
	'ordered by infohash');

# nothing is made by asking, and nothing is left of it

is($c->fetch('/status?ih=' . '1' x 40)->{status}, 200, 'an argument');
is(scalar @{ status()->{torrents} }, 4, 'does not count');

sub json_get {
	return http(<<EOF);
GET /status HTTP/1.0
Host: localhost
Accept: application/json

EOF
}

sub status {
	return decode_json(http_content(json_get()));
}

sub find {
	my ($torrent) = @_;

	my ($found) = grep { $_->{infohash} eq $torrent->{ih} }
		@{ status()->{torrents} };

	return $found;
}

sub wait_for {
	my ($code, $what) = @_;

	return Test::Confluence::wait_for($code, 20, $what);
}
