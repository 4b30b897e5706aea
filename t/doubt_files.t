#!/usr/bin/perl

# Tests for pieces in doubt in the layout of files.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

plan(skip_all => 'must be root') if $> != 0;
plan(skip_all => 'no mount namespaces')
	if system('unshare -m true 2>/dev/null') != 0;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my $conf = $c->conf(
	cache_path => "$dir/cache max_size=64m layout=files",
	torrent_grace => '1h',
);

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

        client_max_body_size 0;

        location / {
            confluence;
        }
    }
}

EOF

# 101 pieces; files that share pieces, pieces that share files

my $many = $c->torrent('many', piece => 32768, files => [
	[ 'empty', \'' ],
	[ 'a/one.bin', 100000 ],
	[ 'a/two.bin', 10 ],
	[ 'a/b/three.bin', 7 ],
	[ 'big.bin', 3145745 ],
	[ 'last.bin', 40000 ],
]);

my $hybrid = $c->torrent('hybrid', kind => 'hybrid', piece => 16384, files => [
	[ 'x.bin', 20000 ], [ 'y.bin', 50001 ] ]);
my $seed = $c->seed_libtorrent([ $many, $hybrid ]);

$t->run()->plan(18);

fetched($_, 'fetched', peers => [ $seed ]) for $many, $hybrid;

# the hashes of v2 are known when the torrent has been dropped once

$t->stop();
$seed->stop();
is(start(), 0, 'after a stop nothing is in doubt');

$c->kill_all();
$c->reboot();
is(start(), 101 + 6, 'after a power cut all pieces are in doubt');

fetched($_, 'without peers') for $many, $hybrid;

# a byte of piece 18; the end of the last file, pieces 99 and 100; all of a
# file, piece 3

$c->kill_all();
$c->reboot();

Test::Confluence::flip("$dir/cache/files/$many->{ih}/many/big.bin", 500000);
truncate "$dir/cache/files/$many->{ih}/many/last.bin", 39999;
unlink "$dir/cache/files/$many->{ih}/many/a/two.bin";

is(start(), 98 + 6, 'what has no whole file is not in doubt');

my $peer = $c->seed_scripted($many);

fetched($many, 'after damage', peers => [ $peer ]);

my %asked = map { $_ => 1 } $peer->output() =~ /^request (\d+) /mg;
is(join(' ', sort { $a <=> $b } keys %asked), '3 18 99 100',
	'only what was lost is fetched again');

for ('a/one.bin', 'a/two.bin', 'a/b/three.bin', 'big.bin', 'last.bin') {
	ok(Test::Confluence::slurp("$dir/cache/files/$many->{ih}/many/$_")
		eq $many->{data}{$_}, "$_ on disk");
}

fetched($hybrid, 'beside it');

# what is in doubt is uploaded once more

my $content = $c->bytes(3000000, 'upload');

Test::Confluence::spew("$dir/up.bin", $content);
my $r = upload();
is($r->{status}, 200, 'upload');

my ($file) = grep { -f } glob "$dir/cache/files/*/{up.bin,up.bin/up.bin}";
my ($ih) = $file =~ m!/(\w{40})/!;

$c->kill_all();
$c->reboot();
Test::Confluence::flip($file, 1000000);
start();

# a metainfo names the second in which it was made

my ($first, $again) = map { $_->{body} =~ s/13:creation datei\d+e//r }
	$r, upload();
ok(length $first && $again eq $first, 'uploaded in doubt');

ok($c->fetch("/data?ih=$ih")->{body} eq $content, 'served');

sub upload {
	return $c->fetch({ url => '/upload', args => [ '-F', 'name=up.bin',
		'-F', "files=\@$dir/up.bin" ] });
}

sub fetched {
	my ($torrent, $name, @args) = @_;

	ok($c->fetch($c->url($torrent, @args))->{body} eq $torrent->{whole},
		"$torrent->{name}: $name");
}

# Starts it; returns the number of pieces in doubt.

sub start {
	my $before = () = $t->read_file('error.log') =~ /pieces in doubt/g;

	$t->run();

	return Test::Confluence::wait_for(sub {
		my @n = $t->read_file('error.log') =~ /(\d+) pieces in doubt/g;
		@n > $before ? [ $n[-1] ] : 0
	}, 10, "engine started")->[0];
}
