#!/usr/bin/perl

# Tests for the bound on cached metainfo: who posts many torrents does not fill
# the disk, and what is in the cache or in use keeps its metainfo.

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
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my $mib = 1024 * 1024;
my $conf = $c->conf(cache_path => "$dir/cache max_size=64m",
	torrent_grace => '100ms', trackers => 'off');

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        client_max_body_size     16m;
        client_body_buffer_size  2m;

        location / {
            confluence;
        }
    }
}

EOF

$t->run()->plan(9);

my $cached = $c->torrent('cached.bin', kind => 'hybrid', size => 100000);
my $seed = $c->seed_libtorrent($cached);

ok($c->fetch($c->url($cached, peers => [ $seed ]))->{body} eq $cached->{whole},
	'fetched');
$seed->stop();

my $used = make('used');
my $waiting = http_get("/data?ih=$used->{ih}", start => 1);

# 64 MiB are the bound

my @posted = map { make("posted$_") } 1 .. 70;

cmp_ok(bytes(), '<=', 65 * $mib, 'bound is kept');
cmp_ok(bytes(), '>', 40 * $mib, 'no more goes than must');
ok(!have($posted[0]), 'the oldest is gone');
ok(have($posted[-1]), 'the last is there');
ok(have($used), 'what is in use stays');
ok(have($cached), 'what is in the cache stays');

# of an earlier run

close $waiting;
$t->stop();

for my $n (1 .. 10) {
	open my $fh, '>', sprintf("$dir/cache/metainfo/%040x.torrent", $n)
		or die "Can't create a file: $!\n";
	print $fh 'x' x (4 * $mib);
	close $fh;
	utime(1, 1, sprintf("$dir/cache/metainfo/%040x.torrent", $n));
}

$t->run();
Test::Confluence::wait_for(sub { bytes() < 64 * $mib }, 20, 'removed');
ok(!-e sprintf("$dir/cache/metainfo/%040x.torrent", 1), 'old files are gone');

ok($c->fetch($c->url($cached))->{body} eq $cached->{whole}, 'served, by no peer');

sub make {
	my ($name) = @_;

	my $torrent = $c->torrent($name, size => 1000, seed => $name,
		trackers => [ map { "http://127.0.0.1/$_/" . 'x' x 4000 } 1 .. 256 ]);
	my $r = http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
		. length($torrent->{bytes})
		. "\x0d\x0a\x0d\x0a$torrent->{bytes}");

	die "not posted: $r\n" unless $r =~ / 200 /;

	return $torrent;
}

sub have {
	my ($torrent) = @_;

	return -f "$dir/cache/metainfo/$torrent->{ih}.torrent";
}

sub bytes {
	my (%seen, $sum);

	for my $file (glob("$dir/cache/metainfo/*.torrent")) {
		my @st = stat($file) or next;

		$sum += 512 * $st[12] unless $seen{$st[1]}++;
	}

	return $sum || 0;
}
