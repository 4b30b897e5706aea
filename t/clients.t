#!/usr/bin/perl

# Tests with the clients that people use: players that seek, and programs that
# resume a download or make many connections.

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
my $c = Test::Confluence->new($t)->has(qw/ libtorrent mpv ffmpeg ffprobe
	aria2c wget curl /);

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    types {
        video/mp4  mp4;
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOF

my $dir = $t->testdir();

# films of 20 s, one with its index in front, one with it at the end

command('ffmpeg', '-v', 'error', '-f', 'lavfi', '-i',
	'testsrc2=size=640x360:rate=25', '-t', 20, '-c:v', 'mpeg4', '-b:v', '4M',
	'-g', 25, "$dir/slow.mp4") == 0 or plan(skip_all => 'ffmpeg cannot');
command('ffmpeg', '-v', 'error', '-i', "$dir/slow.mp4", '-c', 'copy',
	'-movflags', '+faststart', "$dir/fast.mp4");

my %film = map { $_ => $c->torrent("$_.mp4", piece => 65536,
	content => Test::Confluence::slurp("$dir/$_.mp4")) } qw/ slow fast /;
my $file = $c->torrent('file.bin', size => 24 * 1024 * 1024,
	piece => 256 * 1024);
my $seed = $c->seed_libtorrent([ values %film, $file ]);

$t->run()->plan(15);

my $base = 'http://127.0.0.1:' . Test::Nginx::port(8080);
my %url = map { $_ => $base . $c->url($film{$_}, path => "$_.mp4",
	peers => [ $seed ]) } keys %film;
my $url = $base . $c->url($file, path => 'file.bin', peers => [ $seed ]);

# players

for my $film (qw/ slow fast /) {
	like(output('ffprobe', '-v', 'error', '-show_entries', 'format=duration',
		'-of', 'csv=p=0', $url{$film}), qr/^20\.0/, "ffprobe, $film");
	is(command('ffmpeg', '-v', 'error', '-ss', 15, '-i', $url{$film},
		'-frames:v', 1, '-f', 'null', '-'), 0, "ffmpeg seeks, $film");

	for my $start (0, 16) {
		is(command('mpv', '--no-config', '--vo=null', '--ao=null',
			'--no-terminal', '--untimed', "--start=$start", '--length=1',
			$url{$film}), 0, "mpv from $start, $film");
	}
}

# downloads

is(command('aria2c', '--no-conf', '-q', '-x16', '-s16', '-k1M', '-d', $dir,
	'-o', 'aria2', $url), 0, 'aria2c with 16 connections');
is_whole('aria2');

begin('curl');
is(command('curl', '-s', '-C', '-', '-o', "$dir/curl", $url), 0, 'curl -C -');
is_whole('curl');

begin('wget');
is(command('wget', '-q', '-c', '-O', "$dir/wget", $url), 0, 'wget -c');
is_whole('wget');

like($t->read_file('access.log'), qr/" 206 /, 'ranges were used');

# The first part of a download that was broken off.

sub begin {
	my ($name) = @_;

	Test::Confluence::spew("$dir/$name",
		substr($file->{whole}, 0, 5_000_001));
}

sub is_whole {
	my ($name) = @_;

	ok(Test::Confluence::slurp("$dir/$name") eq $file->{whole},
		"$name, data");
}

sub command {
	return system('timeout', 60, @_);
}

sub output {
	open my $h, '-|', 'timeout', 60, @_ or die "Can't run $_[0]: $!\n";
	local $/;

	return scalar(<$h>) // '';
}
