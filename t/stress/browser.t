#!/usr/bin/perl

# Tests with the <video> of a browser: it plays and seeks films that are
# downloaded meanwhile from a peer that is not fast.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has(qw/ libtorrent ffmpeg chromium
	chromedriver /);

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    types {
        text/html   html;
        video/mp4   mp4;
        video/webm  webm;
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
        }

        location /pages/ {
            alias %%TESTDIR%%/pages/;
        }
    }
}

EOF

my $dir = $t->testdir();
mkdir "$dir/pages";

# films of a minute, the mp4 with its index at the end

my %codecs = (
	mp4 => [ qw/ -c:v libx264 -preset ultrafast -pix_fmt yuv420p / ],
	webm => [ qw/ -c:v libvpx -deadline realtime -cpu-used 8 / ],
);

my %film;

for my $type (sort keys %codecs) {
	system('ffmpeg', '-v', 'error', '-f', 'lavfi', '-i',
		'testsrc2=size=640x360:rate=25', '-t', 60, @{ $codecs{$type} },
		qw/ -b:v 2M -g 25 /, "$dir/film.$type") == 0
		or plan(skip_all => "ffmpeg cannot make $type");

	$film{$type} = $c->torrent("film.$type", piece => 65536,
		content => Test::Confluence::slurp("$dir/film.$type"));
}

my $seed = $c->seed_libtorrent([ values %film ], rate => 1_000_000);

$t->run()->plan(12);

for my $type (sort keys %film) {
	Test::Confluence::spew("$dir/pages/$type.html",
		'<video id="film" preload="metadata" muted src="'
		. ($c->url($film{$type}, path => "film.$type",
			peers => [ $seed ]) =~ s/&/&amp;/gr) . '"></video>');

	my $browser = $c->spawn([ "$FindBin::Bin/../tools/browser.py",
		'http://127.0.0.1:' . Test::Nginx::port(8080)
		. "/pages/$type.html", $c->new_dir('profile') ]);

	like(line($browser), qr/^duration (?:60|59\.9)/, "$type, duration");
	is(line($browser), 'width 640', "$type, width");
	like(line($browser), qr/^played [1-9]/, "$type, played");
	like(line($browser), qr/^seeked 4[5-9]/, "$type, seeked");
	like(line($browser), qr/^played (?:4[6-9]|5)/,
		"$type, played from there");

	$browser->wait();
}

my $log = $t->read_file('access.log');
like($log, qr/film\.mp4\S* HTTP\S+" 206 /, 'ranges of mp4');
like($log, qr/film\.webm\S* HTTP\S+" 206 /, 'ranges of webm');

# The next line of the browser, or why there is none.

sub line {
	my ($browser) = @_;

	return eval { $browser->wait_line(qr/./, 60) } // $@;
}
