#!/usr/bin/perl

# Tests for v2 and hybrid torrents (BEP 52), and for padding (BEP 47).

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

my @files = ([ 'a.bin', 100000 ], [ 'b/c.bin', 300001 ], [ 'b/d', 0 ],
	[ 'e.bin', 65536 ]);

my $single = $c->torrent('single.bin', kind => 'v2', size => 1000000,
	piece => 65536);
my $v2 = $c->torrent('v2', kind => 'v2', files => \@files, piece => 65536);
my $hybrid = $c->torrent('hybrid', kind => 'hybrid', files => \@files,
	piece => 65536);
my $tiny = $c->torrent('tiny', kind => 'v2', content => 'tiny');
my $padded = $c->torrent('padded', piece => 16384, info => {
	files => [
		{ length => \5, path => [ 'a' ] },
		{ length => \16379, path => [ '.pad', '16379' ], attr => 'p' },
		{ length => \20000, path => [ 'b' ] },
	],
}, files => [ [ 'a', \'aaaaa' ], [ '.pad/16379', \("\0" x 16379) ],
	[ 'b', 20000 ] ]);

my $seed = $c->seed_libtorrent([ $single, $v2, $hybrid, $tiny, $padded ]);

$t->run()->plan(21);

is(get($single), $single->{whole}, 'v2 single file');
is(get($tiny), 'tiny', 'v2 of less than a block');

for my $torrent ($v2, $hybrid) {
	for my $path (sort @{ $torrent->{paths} }) {
		ok(get($torrent, path => $path) eq $torrent->{data}{$path},
			"$torrent->{name} $path");
	}

	# the files without the padding between them, in the torrent's order
	my @sorted = sort @{ $torrent->{paths} };
	my $r = $c->fetch($c->url($torrent));
	is(length($r->{body}), 465537, "$torrent->{name} whole, length")
		if $torrent == $v2;
	ok($r->{body} eq join('', map { $torrent->{data}{$_} } @sorted),
		"$torrent->{name} whole") if $torrent == $v2;
}

like(get($hybrid, route => '/info'), qr/9:file tree/, 'info of a hybrid');

# any of its names

is(get({ ih => $hybrid->{v1} }, path => 'e.bin'), $hybrid->{data}{'e.bin'},
	'hybrid by v1');
is(get({ ih => $hybrid->{v2} }, path => 'e.bin'), $hybrid->{data}{'e.bin'},
	'hybrid by v2');
is(get({ ih => substr($hybrid->{v2}, 0, 40) }, path => 'e.bin'),
	$hybrid->{data}{'e.bin'}, 'hybrid by v2 cut short');
is(get({ ih => $v2->{ih} }, path => 'e.bin'), $v2->{data}{'e.bin'},
	'v2 cut short');

# one torrent, not two

my $status = http_get('/status');
is(scalar(() = $status =~ /$hybrid->{v1}/g), 1, 'a hybrid is one torrent');

# ranges

is($c->fetch({ url => $c->url($v2, path => 'b/c.bin'),
	args => [ '-r', '65530-65545' ] })->{body},
	substr($v2->{data}{'b/c.bin'}, 65530, 16), 'v2 range');

# padding of v1

is(get($padded, path => 'b'), $padded->{data}{b}, 'behind padding');
is(get($padded, path => 'a'), 'aaaaa', 'before padding');

sub get {
	my ($torrent, %o) = @_;

	return $c->fetch($c->url($torrent,
		$torrent->{name} ? (peers => [ $seed ]) : (), %o))->{body};
}
