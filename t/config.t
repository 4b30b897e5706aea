#!/usr/bin/perl

# Tests for directives: good values are taken, bad ones are refused by
# "nginx -t" with a message that names the file and the line.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $binary = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';

my $t = Test::Nginx->new()->has(qw/http/);
my $dir = $t->testdir();
my $path = "confluence_cache_path $dir/cache";
my $other = "confluence_cache_path $dir/other name=other";

mkdir "$dir/cache";
mkdir "$dir/cache/a";
symlink "$dir/cache", "$dir/link";
symlink "$dir/cache/a", "$dir/deep";
symlink $dir, "$dir/up";

my $check = sub {
	my ($conf, $location) = @_;

	$t->write_file_expand('nginx.conf', <<EOF);
%%TEST_GLOBALS%%

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    server {
        listen       127.0.0.1:8080;

        location / {
$location
        }
    }
}
EOF

	return scalar `$binary -t -p $dir/ -c nginx.conf -e stderr 2>&1`;
};

# lists of addresses, in all forms, and broken ones

my $first = "\0" x 10 . "\xff\xff" . pack('C4', 192, 0, 2, 1);

$t->write_file('cidr', "# comment\n\n10.0.0.0/8\r\n 2001:db8::/32\n"
	. "192.0.2.1\n192.0.2.5-192.0.2.9\n2001:db9::1-2001:db9::2");
$t->write_file('p2p', "Bad: people:192.0.2.1-192.0.2.9\n:10.0.0.0-10.0.0.1\n");
$t->write_file('packed', pack('Q<', 1) . $first x 2 . pack('Q<L<', 0, 4)
	. 'name');
$t->write_file('bad', "10.0.0.0/8\n\n10.0.0.0/33\n");
$t->write_file('torn', pack('Q<', 1) . $first x 2 . pack('Q<L<', 0, 4)
	. 'nam');

my @good = (
	"$path;",
	"$path; confluence_cache_path ${dir}/cache2 name=a listen=42070;",
	"$path max_size=10g;",
	"$path max_size=off;",
	"$path max_size=1g layout=files;",
	"$path layout=segments;",
	"$path layout=sqlite max_size=1g;",
	"$path name=a max_size=1g listen=42070;",
	"$path listen=127.0.0.1:42069 listen=[::1]:42069;",
	"$path; $other listen=42070;",
	"$path; $other listen=42070; confluence_cache other;",
	"confluence_cache other; $path; $other listen=42070;",
	"$path; $other listen=127.0.0.1:1; confluence_listen 127.0.0.2:1;",
	"$path listen=127.0.0.1:1; $other listen=[::1]:1;",
	"$path; confluence_listen 42069;",
	"$path; confluence_listen 127.0.0.1:42069 [::1]:42069;",
	(map { ("$path; confluence_$_ on;", "$path; confluence_$_ off;") }
		qw/ dht pex utp tcp trackers override_trackers seed etag
			private_networks /),
	"$path; confluence_lsd off;",
	"$path; confluence_lsd on; confluence_private_networks on;",
	"$path; confluence_dht_bootstrap router.example.com:6881 127.0.0.1:1;",
	"$path; confluence_implicit_tracker http://127.0.0.1/announce"
		. " udp://127.0.0.1:1/announce;",
	"$path; confluence_public_ip 192.0.2.1 2001:db8::1;",
	"$path; confluence_upnp on;",
	"$path; confluence_camouflage_data peers.db;",
	"$path; confluence_upload_rate 512k;",
	"$path; confluence_download_rate off;",
	"$path; confluence_scrub off;",
	"$path; confluence_scrub 10m;",
	"$path; confluence_scrub 512k interval=1d;",
	"$path; confluence_max_connections 50;",
	"$path; confluence_max_torrents 1;",
	"$path; confluence_blocklist $dir/cidr;",
	"$path; confluence_blocklist $dir/p2p;",
	"$path; confluence_blocklist $dir/packed;",
	"$path; confluence_torrent_grace 5m;",
	"$path; confluence_torrent_grace 500ms;",
	"$path; confluence_torrent_grace off;",
	"$path; confluence_readahead 16m;",
	"$path; confluence_wait_timeout 30s;",
);

# what is wrong, and a word of the message

my @bad = (
	[ 'confluence_cache_path;', 'arguments' ],
	[ "$path max_size=;", 'max_size' ],
	[ "$path max_size=x;", 'max_size' ],
	[ "$path max_size=0;", 'max_size' ],
	[ "$path max_size=-1;", 'max_size' ],
	[ "$path layout=;", 'layout' ],
	[ "$path layout=file;", 'layout' ],
	[ "$path layout=sqlite3;", 'layout' ],
	[ "$path nonsense;", 'nonsense' ],
	[ "$path; $path;", 'duplicate' ],
	[ "$path; $path name=a listen=42070;", 'is the same directory' ],
	[ "$path; confluence_cache_path $dir/link name=a listen=42070;",
		'is the same directory' ],
	[ "$other; confluence_cache_path $dir/up/other name=a listen=42070;",
		'is the same directory' ],
	(map { my ($a, $b) = @$_; map { [ "confluence_cache_path $dir/$$_[0];"
		. " confluence_cache_path $dir/$$_[1] name=a listen=42070;",
		'lie one in the other' ] } [ $a, $b ], [ $b, $a ] }
		[ 'cache', 'cache/a' ], [ 'cache', 'cache/none' ],
		[ 'cache', 'cache/a/none' ], [ 'none', 'none/none' ],
		[ 'cache', 'deep' ], [ 'link', 'deep/none' ],
		[ 'up/cache', 'cache/a' ], [ 'up', 'other' ]),
	[ "$path; confluence_cache_path $dir/other listen=42070;",
		'duplicate.*name=' ],
	[ "$path name=other; $other listen=42070;", 'duplicate cache "other"' ],
	[ "$path; $other;", 'both listen on 0.0.0.0:42069' ],
	[ "$path; $other listen=127.0.0.1:42069;",
		'both listen on 127.0.0.1:42069' ],
	[ "$path listen=127.0.0.1:1; $other listen=127.0.0.1:1;",
		'both listen on 127.0.0.1:1' ],
	[ "$path; $other listen=42070; confluence_listen [::]:42070;",
		'both listen on \\[::\\]:42070' ],
	[ "$path name=;", 'name=' ],
	[ "$path listen=;", 'listen=' ],
	[ "$path listen=65536;", 'listen=65536' ],
	[ "$path; confluence_cache other;", 'unknown confluence cache "other"' ],
	[ "$path; confluence_cache;", 'arguments' ],
	[ "$path; confluence_cache '';", 'invalid value' ],
	[ "$path; $other listen=42070; confluence_cache other; "
		. 'confluence_cache other;', 'duplicate' ],
	[ "confluence_cache_path $dir/" . ('x' x 100) . ';',
		'long' ],
	[ "$path; confluence_listen x;", 'confluence_listen|port|address|host' ],
	[ "$path; confluence_listen 65536;", 'port' ],
	[ "$path; confluence_listen 127.0.0.1:;", 'port|address' ],
	[ "$path; confluence_listen 127.0.0.1:x;", 'port' ],
	(map { [ "$path; confluence_$_ maybe;", 'maybe' ] }
		qw/ dht pex lsd utp tcp trackers override_trackers seed etag
			private_networks /),
	[ "$path; confluence_lsd on;", 'needs .confluence_private_networks on' ],
	[ "$path; confluence_dht on; confluence_dht on;", 'duplicate' ],
	[ "$path; confluence_dht_bootstrap nowhere;", 'nowhere|port' ],
	[ "$path; confluence_implicit_tracker nonsense;", 'nonsense' ],
	[ "$path; confluence_public_ip example.com;", 'example.com' ],
	[ "$path; confluence_upload_rate x;", 'invalid value' ],
	[ "$path; confluence_download_rate 3g;", 'invalid value' ],
	[ "$path; confluence_scrub;", 'arguments' ],
	[ "$path; confluence_scrub on;", 'invalid value' ],
	[ "$path; confluence_scrub 1m; confluence_scrub 1m;", 'duplicate' ],
	[ "$path; confluence_scrub 1m interval=x;", 'interval=x' ],
	[ "$path; confluence_scrub 1m interval=0;", 'interval=0' ],
	[ "$path; confluence_scrub 1m nonsense;", 'nonsense' ],
	[ "$path; confluence_scrub off interval=1d;", 'interval=1d' ],
	[ "$path; confluence_max_connections 1;", 'must be between' ],
	[ "$path; confluence_max_torrents 0;", 'must be' ],
	[ "$path; confluence_blocklist $dir/none;", 'none.*No such file' ],
	[ "$path; confluence_blocklist $dir/bad;", 'bad.*line 3' ],
	[ "$path; confluence_blocklist $dir/torn;", 'torn.*record 0' ],
	[ "$path; confluence_torrent_grace x;", 'confluence_torrent_grace|x' ],
	[ "$path; confluence_readahead x;", 'invalid value' ],
	[ "$path; confluence_wait_timeout x;", 'invalid value' ],
	[ "$path; confluence;", 'not allowed here' ],
);

# inside of the location

my @bad_location = (
	[ "$path;", 'confluence nonsense;', 'nonsense' ],
	[ "$path;", 'confluence data info;', 'arguments' ],
	[ "$path;", 'confluence; confluence;', 'duplicate' ],
	[ "$path;", "$path;", 'not allowed here' ],
	[ "$path;", 'confluence_dht on;', 'not allowed here' ],
	[ '', 'confluence;', 'confluence_cache_path' ],
	[ "$path;", 'confluence; confluence_cache other;',
		'unknown confluence cache "other"' ],
);

my @good_location = (
	'confluence;',
	(map { "confluence $_;" } qw/ data info metainfo status health /),
	'confluence; confluence_wait_timeout 5s; confluence_etag off;',
);

$t->plan(@good + 2 * @bad + 2 * @bad_location + @good_location + 1);

for my $conf (@good) {
	like($check->($conf, 'confluence;'), qr/test is successful/, name($conf));
}

for my $conf (@good_location) {
	like($check->("$path;", $conf), qr/test is successful/, $conf);
}

for (@bad) {
	my ($conf, $word) = @$_;
	refused($check->($conf, ''), $word, name($conf));
}

for (@bad_location) {
	my ($conf, $location, $word) = @$_;
	refused($check->($conf, $location), $word, name("$conf $location"));
}

ok(!-S "$dir/cache/engine.sock", 'a check starts nothing');

sub refused {
	my ($output, $word, $name) = @_;

	like($output, qr/\[emerg\].*(?:$word).* in \S+nginx\.conf:\d+/,
		"$name refused");
	unlike($output, qr/test is successful/, "$name fails");
}

sub name {
	my ($conf) = @_;

	$conf =~ s/\Q$path\E/path/g;
	$conf =~ s/\Q$other\E/other/g;
	$conf =~ s/\S{60,}/(long)/g;
	$conf =~ s/^path; //;

	return $conf;
}
