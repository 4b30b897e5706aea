#!/usr/bin/perl

# Tests with other BitTorrent clients: they open what /metainfo and /upload
# answer, and download what it names from here.

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
my $c = Test::Confluence->new($t)->has(qw/ curl transmission-show
	qbittorrent-nox /);
# qbittorrent tries uTP first
my $conf = $c->conf(seed => 'on', utp => 'on');

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

        client_max_body_size  16m;

        location / {
            confluence;
        }
    }
}

EOF

my $dir = $t->testdir();
my $content = $c->bytes(3_000_000);
my $path = "d\x{e9}j\x{e0} vu/a & b.bin";

utf8::encode($path);
mkdir "$dir/up";
Test::Confluence::spew("$dir/up/file", $content);

$t->run()->plan(15);

my $r = $c->fetch({ url => '/upload', args => [ '-F', 'name=a film',
	'-F', "files=\@$dir/up/file;filename=\"$path\"" ] });
is($r->{status}, 200, 'uploaded');

Test::Confluence::spew("$dir/upload.torrent", $r->{body});

my $ih = info_hash("$dir/upload.torrent");

# of what /metainfo says, a tracker is kept

my $magnet = "magnet:?xt=urn:btih:$ih&tr=http://127.0.0.1:1/announce";
$r = $c->fetch('/metainfo?magnet=' . Test::Confluence::escape($magnet));
is($r->{status}, 200, 'metainfo');

Test::Confluence::spew("$dir/metainfo.torrent", $r->{body});

for my $file (qw/ upload metainfo /) {
	my $text = show("$dir/$file.torrent");

	like($text, qr/^  Name: a film$/m, "transmission, name, $file");
	like($text, qr/^  Hash: $ih$/m, "transmission, infohash, $file");
	like($text, qr/\Qa film\/$path (3.00 MB)\E/, "transmission, path, $file");
}

like(show("$dir/metainfo.torrent"), qr{http://127\.0\.0\.1:1/announce},
	'transmission, tracker');

# qbittorrent has nothing but the .torrent and our address

for my $file (qw/ upload metainfo /) {
	my $client = $c->seed_qbittorrent([]);
	my $got = $c->new_dir('got');

	is(system('curl', '-sf', '-o', '/dev/null', '-F',
		"torrents=\@$dir/$file.torrent", '-F', "savepath=$got",
		"$client->{api}/add"), 0, "qbittorrent, $file");

	my $told = eval {
		Test::Confluence::wait_for(sub {
			return 1 if -f "$got/a film/$path"
				&& `curl -sf $client->{api}/info`
					=~ /"progress":1[,.}]/;

			# it is known a moment after it was added
			system('curl', '-s', '-o', '/dev/null', '-d',
				"hashes=$ih&peers=$c->{listen}",
				"$client->{api}/addPeers");
			sleep 1;

			return;
		}, 30, 'qbittorrent downloads');
	};

	ok($told, "qbittorrent, complete, $file") or diag($@);
	ok($told && Test::Confluence::slurp("$got/a film/$path") eq $content,
		"qbittorrent, data, $file");

	$client->stop();
}

sub show {
	my ($file) = @_;

	open my $h, '-|', 'sh', '-c', 'exec transmission-show "$1" 2>&1', 'sh',
		$file or die "Can't run transmission-show: $!\n";
	local $/;

	return scalar(<$h>) // '';
}

sub info_hash {
	return show(@_) =~ /^  Hash: ([0-9a-f]{40})$/m ? $1 : '';
}
