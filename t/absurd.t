#!/usr/bin/perl

# Tests with torrents that are not what a torrent should be: posted, and from a
# peer that a magnet link names.  Each is answered with what is wrong about it
# or taken for what it says; nothing else suffers.

use warnings;
use strict;

use Digest::SHA qw/ sha1_hex sha256_hex /;
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

    client_max_body_size  100m;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
            confluence_wait_timeout 10s;
        }
    }
}

EOF

# Name; the info, or all of the torrent if it begins with "d4:info"; what a
# refusal says, nothing if it is to be taken.

my $hash = 'h' x 20;
my $root = 'r' x 32;

my @cases = (
	[ 'piece length 0', single('piece length' => \0), 'piece length' ],
	[ 'negative piece length', single('piece length' => \-16384),
		'piece length' ],
	[ 'piece length of 1 TiB', single('piece length' => \2**40),
		'piece length' ],
	[ 'piece length is text', single('piece length' => '16384'),
		'piece length' ],
	[ 'no name', single(name => undef), 'name' ],
	[ 'name is a number', single(name => \7), 'name' ],
	[ 'name ".."', single(name => '..'), 'name' ],
	[ 'no pieces', single(pieces => undef), 'pieces' ],
	[ 'pieces of 19 bytes', single(pieces => 'x' x 19), 'pieces' ],
	[ 'too many pieces', single(pieces => 'x' x 40), 'pieces' ],
	[ 'too few pieces', single(length => \16385), 'pieces' ],
	[ 'negative length', single(length => \-1), 'length' ],
	[ 'length of 8 EiB', single(length => \'9223372036854775807'),
		'overflow' ],
	[ 'length is text', single(length => '100'), 'pieces' ],
	[ 'sum of negative lengths', files([ 200, 'a' ], [ -100, 'b' ]),
		'negative' ],
	[ 'sum overflows', files(map { [ '4611686018427387904', $_ ] }
		'a' .. 'c'), 'overflow' ],
	[ 'no files', files(), 'pieces' ],
	[ 'files are numbers', files(undef), 'length' ],
	[ 'file without a path', files([ 100 ]), 'name' ],
	[ 'a million files', 'd5:filesl' . ('d6:lengthi1e4:pathl1:aee' x 1e6)
		. 'e4:name1:n12:piece lengthi1048576e6:pieces20:' . $hash . 'e',
		'too many files' ],

	[ 'v2, no files', tree({}), 'no files' ],
	[ 'v2, no root', tree({ a => { '' => { length => \100 } } }), 'root' ],
	[ 'v2, short root', tree({ a => { '' => { length => \100,
		'pieces root' => 'x' } } }), 'root' ],
	[ 'v2, negative length', tree({ a => leaf(-5) }), 'length' ],
	[ 'v2, sum overflows', tree({ map { $_ => leaf('4611686018427387904') }
		'a' .. 'c' }), 'length' ],
	[ 'v2, file and directory', tree({ a => { %{ leaf(100) },
		b => leaf(100) } }), 'files' ],
	[ 'v2, piece length', tree({ a => leaf(100) }, 20000), 'piece length' ],
	[ 'v2, too deep', deep(150), 'depth' ],
	[ 'hybrid that contradicts itself', bencode({ name => 'n',
		length => \100, pieces => $hash, 'piece length' => \16384,
		'meta version' => \2, 'file tree' => { n => leaf(101) } }),
		'match' ],

	[ 'integer overflow', single(length => \('9' x 30)), 'overflow' ],
	[ 'string past the end', 'd4:infod4:name99:nee', 'end of file' ],
	[ 'string of 10^20 bytes', 'd4:infod4:name100000000000000000000:nee',
		'overflow' ],
	[ 'nested lists', 'd4:info' . ('l' x 100000) . ('e' x 100000) . 'e',
		'depth' ],
	[ 'info is a list', 'd4:infolee', 'no info' ],

	# odd, but what they say can be done
	[ 'path ".."', files([ 100, '..', '..', 'etc', 'passwd' ]) ],
	[ 'absolute path', files([ 100, '/etc/passwd' ]) ],
	[ 'empty component', files([ 100, '', 'etc', 'passwd' ]) ],
	[ 'zero byte in a path', files([ 100, "a\0b" ]) ],
	[ 'zero byte in the name', single(name => "a\0b") ],
	[ 'name of 4096 bytes', single(name => 'n' x 4096) ],
	[ 'component of 70000 bytes', files([ 100, 'x' x 70000 ]) ],
	[ '2000 components', files([ 100, ('d') x 2000 ]) ],
	[ 'one path twice', files([ 50, 'a' ], [ 50, 'a' ]) ],
	[ 'file and directory', files([ 50, 'a' ], [ 50, 'a', 'b' ]) ],
	[ 'v2, path ".."', tree({ '..' => { '..' => leaf(100) } }) ],
);

my $good = $c->torrent('good.bin', size => 200000);
my $seed = $c->seed_libtorrent($good);

# what cannot be given, or is one of many
my @told = grep { $_->[1] !~ /^d4:info/ && $_->[0] !~ /million/ } @cases;

$t->run()->plan(@cases + @told + 4);

ok($c->fetch($c->url($good, peers => [ $seed ]))->{body} eq $good->{whole},
	'a good one');

# posted

for my $case (@cases) {
	my ($name, $info, $wrong) = @$case;
	my $body = $info =~ /^d4:info/ ? $info : "d4:info${info}e";
	my $r = http('POST /metainfo HTTP/1.0' . "\x0d\x0aContent-Length: "
		. length($body) . "\x0d\x0a\x0d\x0a$body");

	if ($wrong) {
		like($r, qr/ 400 .*\x0d\x0a\x0d\x0aerror [^\x0a]*$wrong[^\x0a]*\x0a$/s,
			"posted: $name");
	} else {
		is(http_content($r), substr(ih($info), 0, 40) . "\n", "posted: $name");
	}
}

# from a peer

for my $case (@told) {
	my ($name, $info, $wrong) = @$case;
	my $file = $t->testdir() . '/absurd.torrent';

	$info =~ s/4:name1:n/4:name1:m/;

	Test::Confluence::spew($file, "d4:info${info}e");

	my $torrent = { file => $file, dir => $t->testdir(), ih => ih($info),
		$info =~ /12:meta version/ && $info !~ /6:pieces/
			? (v2 => sha256_hex($info)) : () };
	my $peer = $c->seed_scripted($torrent);
	my $r = $c->fetch($c->url($torrent, route => '/info',
		peers => [ $peer ]));

	if ($wrong) {
		is($r->{status}, 502, "from a peer: $name");
	} else {
		ok($r->{status} == 200 && $r->{body} eq $info,
			"from a peer: $name");
	}

	$peer->stop();
}

# nothing was lost, nothing escaped

ok($c->fetch($c->url($good))->{body} eq $good->{whole}, 'the good one is there');
like(http_get('/health'), qr/ 200 OK/, 'healthy');

my @log = $t->read_file('error.log') =~ /\[(?:crit|emerg)\].*/g;
is("@log", '', 'no critical messages');

sub single {
	my (%o) = @_;
	my %info = (name => 'n', length => \100, 'piece length' => \16384,
		pieces => $hash, %o);

	return bencode({ map { $_ => $info{$_} }
		grep { defined $info{$_} } keys %info });
}

sub files {
	return bencode({ name => 'n', 'piece length' => \16384, pieces => $hash,
		files => [ map { my ($length, @path) = $_ ? @$_ : ();
			defined $length ? { length => \$length,
				@path ? (path => \@path) : () } : \1 } @_ ] });
}

sub tree {
	my ($tree, $piece) = @_;

	return bencode({ name => 'n', 'piece length' => \($piece || 16384),
		'meta version' => \2, 'file tree' => $tree });
}

sub leaf {
	my ($length) = @_;

	return { '' => { length => \$length, 'pieces root' => $root } };
}

sub deep {
	my ($n) = @_;

	return 'd9:file tree' . ('d1:d' x $n) . bencode(leaf(100)) . ('e' x $n)
		. '12:meta versioni2e4:name1:n12:piece lengthi16384ee';
}

sub ih {
	my ($info) = @_;

	return $info =~ /12:meta version/ && $info !~ /6:pieces/
		? sha256_hex($info) : sha1_hex($info);
}

sub bencode {
	return Test::Confluence::bencode(@_);
}
