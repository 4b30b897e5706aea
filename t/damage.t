#!/usr/bin/perl

# Tests for files of the cache that are removed, cut or replaced while nginx
# runs: nothing else is served in their place, they are fetched again.

use warnings;
use strict;

use Fcntl qw/ :flock /;
use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my $conf = $c->conf(cache_path => "$dir/cache name=segments")
	. "    confluence_cache_path $dir/other name=files layout=files\n"
	. "        listen=127.0.0.1:" . $c->free_port() . ";\n";

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

        location /files/ {
            confluence data;
            confluence_cache files;
        }
    }
}

EOF

# two segments of 16 pieces each

my $mb = 1024 * 1024;
my $piece = 262144;
my $one = $c->torrent('one.bin', size => 8 * $mb, piece => $piece);
my $two = $c->torrent('two.bin', size => 8 * $mb, piece => $piece, seed => 2);
my $many = $c->torrent('many', piece => 32768, files => [
	[ 'a.bin', 100000 ], [ 'b.bin', 300001 ], [ 'c.bin', 100000 ] ]);

my $seed = $c->seed_libtorrent([ $one, $two, $many ]);
my $found = 0;

$t->run()->plan(42);

# segments; a new worker has none of them open

fetched($one, 'segments');

damaged($one, 'removed', sub { unlink segment($one, 0) });
damaged($one, 'cut', sub { truncate segment($one, 1), 3 * $mb });
damaged($one, 'cut to nothing', sub { truncate segment($one, 0), 0 });
damaged($one, 'a folder instead', sub {
	my $file = segment($one, 1);
	unlink $file;
	mkdir $file;
});

# of a segment that the engine writes to

part($two, 0, 'a part of a segment');
unlink segment($two, 0);
respawn();
part($two, 3, 'another part', 1);
part($two, 0, 'the first part', 1);
fetched($two, 'all of it');
found(1);

# files

fetched($many, 'files', '/files/');

for ('removed', 'cut', 'longer', 'a link instead') {
	my $file = "$dir/other/files/$many->{ih}/many/b.bin";
	my $how = $_;

	damaged($many, $how, sub {
		return unlink $file if $how eq 'removed';
		return truncate $file, 299999 if $how eq 'cut';
		return truncate $file, 300002 if $how eq 'longer';
		rename $file, "$dir/moved";
		symlink "$dir/moved", $file;
	}, '/files/');

	ok(Test::Confluence::slurp($file) eq $many->{data}{'b.bin'}
		&& !-l $file, "$how: on disk");
}

# an engine that comes later than the request

late($one, 'segments', "$dir/cache", segment($one, 0));
late($many, 'files', "$dir/other", "$dir/other/files/$many->{ih}/many/b.bin",
	'/files/');

# one that takes longer than another may, which only thinks that it is there

late($one, 'long', "$dir/cache", segment($one, 0), '/data', 6);

# It is noticed, and what is there no more is awaited.

sub damaged {
	my ($torrent, $name, $damage, $route) = @_;

	$damage->();
	respawn();

	fetched($torrent, $name, $route);
	found(1);
	fetched($torrent, "$name, again", $route);
}

# What was removed while nothing runs is asked for, and then the engine comes.

sub late {
	my ($torrent, $name, $cache, $file, $route, $away) = @_;

	$t->stop();
	unlink $file;

	open my $lock, '<', "$cache/lock" or die "Can't open: $!\n";
	flock($lock, LOCK_EX) or die "Can't lock: $!\n";

	my $seen = () = $t->read_file('error.log') =~ /\[crit\].* open\(\)/g;

	$t->run();

	my $request = $c->fetch_start(url($torrent, $route));

	ok(eval {
		Test::Confluence::wait_for(sub {
			$seen < (() = $t->read_file('error.log')
				=~ /\[crit\].* open\(\)/g)
		}, 10, 'noticed')
	}, "$name: noticed without an engine");

	ok(!eval {
		Test::Confluence::wait_for(sub { $request->ended() }, $away,
			'ended')
	}, "$name: awaited") if $away;

	close $lock;

	ok($c->fetch_end($request)->{body} eq $torrent->{whole},
		"$name: an engine that is late");
}

sub fetched {
	my ($torrent, $name, $route) = @_;

	ok($c->fetch(url($torrent, $route))->{body} eq $torrent->{whole},
		"$name: all is right");
}

sub url {
	my ($torrent, $route) = @_;

	return $c->url($torrent, peers => [ $seed ], route => $route || '/data');
}

sub part {
	my ($torrent, $n, $name, $again) = @_;
	my $r;

	Test::Confluence::wait_for(sub {
		$r = $c->fetch({ url => url($torrent), args => [ '-r',
			$n * $piece . '-' . ($n * $piece + 99) ] });
		!$again || $r->{size}
	}, 20, $name);

	ok($r->{body} eq substr($torrent->{whole}, $n * $piece, 100), $name);
}

# Waits until more is known to be damaged.

sub found {
	my ($n) = @_;

	$found += $n;

	ok(eval {
		Test::Confluence::wait_for(sub {
			my @found = $t->read_file('error.log')
				=~ /\[crit\] .* in the cache, its \w+ is fetched again/g;
			@found >= $found
		}, 10, 'found');
	}, 'the engine has seen it');
}

sub respawn {
	my ($worker) = $c->processes(qr/worker process/);

	kill 'TERM', $worker;

	Test::Confluence::wait_for(sub {
		my ($new) = $c->processes(qr/worker process/);
		$new && $new != $worker && http_get('/health') =~ /200 OK/
	}, 10, 'new worker');
}

sub segment {
	my ($torrent, $n) = @_;

	return (glob "$dir/cache/pieces/$torrent->{ih}/$n.*")[0];
}
