#!/usr/bin/perl

# Tests for POST /metainfo: what is kept of a .torrent, what is refused, and
# what a .torrent is that we hand out.

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

# trackers are not announced to, but told
my $conf = $c->conf(trackers => 'off', torrent_grace => '200ms');

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

        location /small/ {
            confluence;
            client_max_body_size 1k;
        }
    }
}

EOC

my $url = 'http://127.0.0.1:1';
my @meta = (comment => 'made for a test', 'created by' => 'a person',
	'creation date' => \1234567890, nodes => [ [ '127.0.0.1', \6881 ],
	[ '::1', \6882 ] ]);

my $told = $c->torrent('told', content => 'told', webseeds => [ "$url/w" ],
	meta => { @meta, 'announce-list' => [ [ "$url/a", "$url/b" ], [],
	[ "$url/c", "$url/a" ] ] });
my $plain = $c->torrent('plain', content => 'plain');
my $wanted = $c->torrent('wanted', content => 'wanted');
my $unknown = $c->torrent('unknown', content => 'unknown');
my $watched = $c->torrent('watched', size => 40000);
my $v2 = $c->torrent('v2.bin', kind => 'v2', size => 300000, piece => 65536);
my $hybrid = $c->torrent('hybrid', kind => 'hybrid', piece => 65536,
	files => [ [ 'a', 200000 ], [ 'b', 200000 ], [ 'c', 10 ] ]);
my $empty = $c->torrent('empty', files => [ [ 'a', \'' ], [ 'd/b', \'' ] ]);

my $seed = $c->seed_libtorrent([ $v2, $hybrid ]);
my $mute = $c->seed_scripted($watched, mode => 'nometa');

$t->run()->plan(74);

# what is told is told again

is(http_content(post($told->{bytes})), "$told->{ih}\n", 'posted');

for my $when ('at once', 'after a while') {
	my $body = get($told);

	like($body, qr/\Ad8:announce20:$url\/a13:announce-list/,
		"announce $when");
	like($body, qr/13:announce-listll20:$url\/a20:$url\/bel20:$url\/cee/,
		"tiers $when");
	like($body, qr/7:comment15:made for a test/, "comment $when");
	like($body, qr/10:created by8:a person/, "created by $when");
	like($body, qr/13:creation datei1234567890e/, "creation date $when");
	like($body, qr/5:nodesll9:127.0.0.1i6881eel3:::1i6882eee/,
		"nodes $when");
	like($body, qr/8:url-listl20:$url\/wee\z/, "web seeds $when");

	gone($told);
}

my $json = json($told);
like($json, qr/\A\{"info":"[^"]+","announceList":\[\["$url\/a","$url\/b"\],
	\["$url\/c"\]\],"nodes":\["127\.0\.0\.1:6881","\[::1\]:6882"\],
	"creationDate":1234567890,"comment":"made\ for\ a\ test",
	"createdBy":"a\ person","urlList":\["$url\/w"\]\}\x0a\z/x, 'json');

my ($f1) = $c->fixtures();
post($f1->{bytes});
like(json($f1), qr/\A\{"info":"[^"]+","creationDate":\d+,
	"comment":"[^"]+","createdBy":"[^"]+"\}\x0a\z/x, 'json of little');

# for a torrent that is known already

is(http_content(post($plain->{bytes})), "$plain->{ih}\n", 'plain');
post(bencode({ announce => "$url/x", info => 1 })
	=~ s/4:info1:1/4:info$plain->{info}/r);
like(get($plain), qr/13:announce-listll20:$url\/xee/, 'tracker is added');
gone($plain);
like(get($plain), qr/13:announce-listll20:$url\/xee/, 'tracker is kept');

# without info

my $only = bencode({ announce => "$url/y", comment => 'of nothing' });

like(post($only), qr/ 400 .*error putting metainfo: /s, 'nothing is named');
like(post($only, '?ih=zz'), qr/ 400 /, 'a bad name');
like(post($only, '?magnet=magnet:?dn=x'), qr/ 400 /, 'a bad magnet');
is(http_content(post($only, "?ih=$plain->{ih}")), "$plain->{ih}\n", 'by ih');
like(get($plain), qr/l20:$url\/x20:$url\/ye.*comment10:of nothing/,
	'told by ih');
is(http_content(post($only, '?magnet=' . Test::Confluence::escape(
	$c->magnet($unknown, trackers => [ "$url/z" ])))),
	"$unknown->{ih}\n", 'by magnet');

# and the info comes later

my $s = http_get("/metainfo?ih=$unknown->{ih}", start => 1);
my $w = http_get($c->url($wanted, route => '/info'), start => 1);

post($unknown->{bytes});
post($wanted->{bytes});

like(http_content(http_end($s)),
	qr/l20:$url\/z20:$url\/yee.*comment10:of nothing/, 'told before the info');
is(http_content(http_end($w)), $wanted->{info}, 'who waits gets it');

# peers that are there by then stay: nobody names them again

my $d = http_get($c->url($watched, peers => [ $mute ]), start => 1);

$mute->wait_line(qr/^connect /, 20);
post($watched->{bytes});

ok(http_content(http_end($d)) eq $watched->{whole}, 'of a peer without info');
is(scalar(() = $mute->output() =~ /^connect /mg), 1, 'on one connection');

# a torrent of nothing

is(http_content(post($empty->{bytes})), "$empty->{ih}\n", 'of no bytes');
is(http_content(post($empty->{bytes})), "$empty->{ih}\n", 'and again');
like(http_get($c->url($empty, path => 'd/b')), qr/ 200 .*Length: 0/s,
	'file of it');
like(http_get($c->url($empty)), qr/ 200 .*Length: 0/s, 'all of it');
like(http_get($c->url($empty, path => 'c')), qr/ 404 /, 'no such file of it');
is(http_content(http_get($c->url($empty, route => '/info'))), $empty->{info},
	'info of it');
like(http_get('/status'), qr/Infohash: $empty->{ih}/, 'status of it');

# piece layers, at once after the metadata came

for my $x ($v2, $hybrid) {
	my $r = $c->fetch($c->url($x, route => '/metainfo', peers => [ $seed ]));
	my ($want) = $x->{bytes} =~ /12:piece layers(d.*?ee?)(?:8:url-list|\z)/s;
	my ($got) = $r->{body} =~ /12:piece layers(d.*e)\z/s;

	is(unpack('H*', $got), unpack('H*', $want), "layers of $x->{name}");
	Test::Confluence::spew($t->testdir() . "/$x->{name}.again", $r->{body});
	is($c->leech($t->testdir() . "/$x->{name}.again",
		peers => [ $seed ])->{progress}, 1, 'libtorrent opens it');
}

like(json($v2), qr/"pieceLayers":\{"[0-9a-f]{64}":"[A-Za-z0-9+\/=]+"\}/,
	'json layers');

# sizes

my $big = $c->torrent('big', content => 'x', meta => { x => 'x' x 2000 });

like(post($big->{bytes}, '', '/small/metainfo'), qr/ 413 /, 'too big');
is(http_content(post($big->{bytes})), "$big->{ih}\n", 'not too big');

# what is hostile is refused, and nothing is left of it

my @before = left();
my $pieces = 'p' x 20;
my %good = (name => 'x', length => \5, 'piece length' => \16384,
	pieces => $pieces);

my @bad = (
	'negative length' => info(length => \-5),
	'negative file' => info(length => undef,
		files => [ { length => \-1, path => [ 'x' ] } ]),
	'huge length' => info(length => \'9223372036854775807'),
	'overflow' => info(length => undef, files => [ map { {
		length => \'9223372036854775807', path => [ $_ ] } } 1 .. 3 ]),
	'no number' => raw('6:lengthi99999999999999999999e'),
	'piece length 0' => info('piece length' => \0),
	'negative piece length' => info('piece length' => \-16384),
	'huge piece length' => info('piece length' => \'4611686018427387904'),
	'no piece length' => info('piece length' => undef),
	'pieces of 19 bytes' => info(pieces => 'p' x 19),
	'too few pieces' => info(length => \100000),
	'too many pieces' => info(pieces => 'p' x 40),
	'no pieces' => info(pieces => undef),
	'pieces is a list' => info(pieces => [ 'p' ]),
	'no name' => info(name => undef),
	'name is a number' => info(name => \5),
	'no length' => info(length => undef),
	'length is a string' => info(length => '5'),
	'files is a string' => info(length => undef, files => 'x'),
	'files of strings' => info(length => undef, files => [ 'x', 'y' ]),
	'file without length' => info(length => undef,
		files => [ { path => [ 'x' ] } ]),
	'a dictionary cut short' => 'd4:infod6:lengthi5e4:name1:x',
	'deep nesting' => 'd4:info' . 'l' x 50000 . 'e' x 50000 . 'e',
	'deep nesting beside' => 'd1:a' . 'd1:a' x 50000 . 'i1e' . 'e' x 50001,
	'info is a list' => 'd4:infolee',
	'info is a string' => 'd4:info1:xe',
	'a string longer than all' => 'd4:info99999999:x',
	'negative string' => 'd-4:info1:xe',
);

while (my ($name, $body) = splice @bad, 0, 2) {
	like(post($body), qr/ 400 .*\x0d\x0a\x0d\x0aerror [^\x0a]+\x0a\z/s, $name);
}

is_deeply([ left() ], \@before, 'nothing is left behind');
like(http_get('/health'), qr/ 200 OK/, 'healthy');

sub bencode {
	return Test::Confluence::bencode(@_);
}

sub info {
	my %info = (%good, @_);

	delete @info{grep { !defined $info{$_} } keys %info};

	return bencode({ info => \%info });
}

sub raw {
	return "d4:infod$_[0]4:name1:x12:piece lengthi16384e6:pieces20:${pieces}ee";
}

sub post {
	my ($body, $query, $path) = @_;

	return http('POST ' . ($path || '/metainfo') . ($query || '')
		. " HTTP/1.0\x0d\x0aContent-Length: " . length($body)
		. "\x0d\x0a\x0d\x0a$body");
}

sub get {
	my ($torrent) = @_;

	return http_content(http_get("/metainfo?ih=$torrent->{ih}"));
}

sub json {
	my ($torrent) = @_;

	return http_content(http("GET /metainfo?ih=$torrent->{ih} HTTP/1.0\x0d\x0a"
		. "Accept: application/json\x0d\x0a\x0d\x0a"));
}

# Its grace is over.

sub gone {
	my ($torrent) = @_;

	Test::Confluence::wait_for(sub {
		http_get('/status') !~ /$torrent->{ih}/
	}, 20, 'the torrent is dropped');
}

# Files in the cache, when all torrents were dropped.

sub left {
	Test::Confluence::wait_for(sub {
		http_get('/status') =~ /# Torrents: 0/
	}, 20, 'all torrents are dropped');

	my $dir = $t->testdir() . '/cache';

	return sort grep { !/engine\.sock/ } glob("$dir/*/*");
}
