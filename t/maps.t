#!/usr/bin/perl

# Tests for maps that are cut, removed or replaced while they are in use: no
# process dies, no wrong byte is served, streams go on with what is fetched
# again, and those of other torrents do not notice.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use File::Copy qw/ copy /;
use File::Path qw/ remove_tree /;

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');
my $dir = $t->testdir();

# a map of some pages, which are cut in all of its parts

my $mb = 1024 * 1024;
my $cut = $c->torrent('cut', piece => 16384, files => [
	[ 'large.bin', 4 * $mb + 100 ], map { [ "small/$_", 50 ] } 1 .. 300 ]);
my $other = $c->torrent('other.bin', size => 4 * $mb, piece => 65536,
	seed => 1);
my $seed = $c->seed_libtorrent([ $cut, $other ]);
my $map = "$dir/cache/pieces/$cut->{ih}/map";

my %damage = (
	(map { my $n = $_; ("cut to $n bytes" => sub { truncate $map, $n }) }
		0, 100, 4096, 9000),
	'cut of all but its counts' => sub { truncate $map, (-s $map) - 700 },
	'cut by a byte' => sub { truncate $map, (-s $map) - 1 },
	'cut and of its length again' => sub {
		my $n = -s $map;
		truncate $map, 100;
		truncate $map, $n;
	},
	'made longer' => sub { truncate $map, (-s $map) + 1 },
	'removed' => sub { unlink $map },
	'replaced' => sub {
		copy($map, "$map.");
		truncate "$map.", 0;
		rename "$map.", $map;
	},
);

my %damages = (
	'segments' => [ grep { !/ to (?:100|4096) / } sort keys %damage ],
	'files' => [ 'cut to 100 bytes', 'removed' ],
	'sqlite' => [ 'cut to 4096 bytes', 'replaced' ],
);

$t->plan(6 * 12 + 3);

for my $layout (qw/ segments files sqlite /) {
	begin($layout);

	for my $damage (@{ $damages{$layout} }) {
		damaged("$layout, $damage", $damage{$damage});
	}

	$t->stop();
	is(join(' ', $c->strays()), '', "$layout: nothing is left over");
	remove_tree("$dir/cache");
}

# The first time nothing of it is there, and later all is.

sub damaged {
	my ($name, $damage) = @_;

	my $found = found();

	my %cut = (torrent => $cut, peers => [ $seed ], path => 'large.bin');
	my %other = (torrent => $other, peers => [ $seed ]);

	my $streams = $c->streams(
		{ %cut, rate => 3 * $mb },
		{ %cut, rate => 5 * $mb },
		{ %other, rate => 3 * $mb, repeat => 0 },
		{ %other, random => [ 1, $mb ], repeat => 0, rate => 8 * $mb },
		(map { { %cut, random => [ 1, $mb ], repeat => 0, rate => 8 * $mb,
			seed => $_ } } 1 .. 4),
	);

	my $r = $streams->wait_progress($streams->status());
	my @before = $c->processes(qr/worker process|cache manager/);

	$damage->();

	$r = $streams->wait_progress($streams->wait_progress($r));
	$r = $streams->finish();

	is_deeply($r->{failed}, [], "$name: no stream is cut")
		or diag(explain($r->{failed}));
	is(join(' ', $c->processes(qr/worker process|cache manager/)),
		join(' ', @before), "$name: nothing died");

	# a worker that has never opened it

	respawn();

	ok($c->fetch($c->url($cut, peers => [ $seed ], path => 'large.bin'))
		->{body} eq $cut->{data}{'large.bin'}, "$name: all is right");
	ok($c->fetch($c->url($cut, peers => [ $seed ], path => 'small/300'))
		->{body} eq $cut->{data}{'small/300'}, "$name: the last file");
	is(found(), $found + 1, "$name: noticed once");
	is(join(' ', grep { !/^(?:payload|map) of/ } $c->strays()), '',
		"$name: nothing of it is left");
}

sub found {
	return scalar grep { /\[warn\] .* its map in the cache is damaged/ }
		split /\n/, $t->read_file('error.log');
}

sub respawn {
	my @old = $c->processes(qr/worker process/);

	kill 'TERM', @old;

	Test::Confluence::wait_for(sub {
		my @new = $c->processes(qr/worker process/);
		my %old = map { $_ => 1 } @old;

		@new == @old && !grep { $old{$_} } @new
	}, 10, 'new workers');
}

sub begin {
	my ($layout) = @_;
	my $conf = $c->conf(cache_path => "$dir/cache layout=$layout");

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
        listen       127.0.0.1:8080 sndbuf=64k;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF

	$t->run();
}
