#!/usr/bin/perl

# Tests for the database of layout=sqlite: one that is damaged, of somebody
# else, lost, or too large; other layouts beside it; a full disk.

use warnings;
use strict;

use Digest::SHA qw/ sha256_hex /;
use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent', 'sqlite3');

my $dir = $t->testdir();
my $mb = 1024 * 1024;
my @ports = map { $c->free_port() } 0 .. 1;

my $conf = sub {
	my ($path, $other) = @_;

	$other = "other layout=files" unless $other;

	my $caches = "$path listen=127.0.0.1:$ports[0];\n"
		. "    confluence_cache_path $dir/$other name=other"
		. " listen=127.0.0.1:$ports[1]";
	my $text = $c->conf(cache_path => "$dir/$caches", listen => undef,
		torrent_grace => '1h', wait_timeout => '5s');

	$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$text/r);

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

        location /other/ {
            confluence;
            confluence_cache other;
        }
    }
}

EOF
};

my @torrents = map { $c->torrent("$_.bin", size => 2 * $mb + 1, seed => $_,
	piece => 65536) } qw/ a b c /;
my $large = $c->torrent('large.bin', size => 24 * $mb, piece => 262144);
my ($one, $two, $three) = @torrents;
my $seed = $c->seed_libtorrent([ @torrents, $large ]);
my $db = "$dir/cache/pieces.db";

$conf->('cache layout=segments');

$t->run()->plan(29);

# layouts come and go: what is there is served from where it is

is(fetch($one, peers => [ $seed ]), sha256_hex($one->{whole}), 'in segments');
ok(!-e $db, 'in segments, no database');

$conf->('cache layout=sqlite');
$t->reload();

# the engine is another one when the database is there

wait_for(sub { -e $db && healthy() }, 'reloaded');

is(fetch($two, peers => [ $seed ]), sha256_hex($two->{whole}), 'in rows');
cmp_ok(count('SELECT sum(length(data)) FROM block'), '==', 2 * $mb + 1,
	'in rows, all of it');
is((stat $db)[2] & 077, 0, 'nobody else can read it');

is(fetch($two, route => '/other/data', peers => [ $seed ]),
	sha256_hex($two->{whole}), 'another cache in files beside it');

$seed->stop();
is(fetch($one), sha256_hex($one->{whole}), 'in rows, and in segments before');

$conf->('cache layout=segments');
$t->reload();
wait_for(sub { layouts() == 3 }, 'reloaded again');

$seed = $c->seed_libtorrent([ @torrents, $large ]);
is(fetch($three, peers => [ $seed ]), sha256_hex($three->{whole}),
	'in segments again');
is(count('SELECT count(*) FROM torrent'), 1, 'in segments again, no new rows');
$seed->stop();
is(fetch($two), sha256_hex($two->{whole}), 'in segments again, rows served');

# rows of no torrent

$t->stop();
system("sqlite3 $db \"INSERT INTO torrent (id, ih) VALUES (7, x'"
	. 'ab' x 20 . "'); INSERT INTO block VALUES (7 << 32, x'00');\"");
$conf->('cache layout=sqlite');
$t->run();

wait_for(sub { count('SELECT count(*) FROM torrent') == 1 }, 'removed');
is(count('SELECT count(*) FROM block WHERE length(data) = 1'), 1,
	'rows of no torrent are removed, others are not');
is(fetch($two), sha256_hex($two->{whole}), 'others are served');

# lost

$t->stop();
unlink glob("$db*");
$seed = $c->seed_libtorrent([ @torrents, $large ]);
$t->run();
wait_for(\&healthy, 'lost');
is(fetch($two, peers => [ $seed ]), sha256_hex($two->{whole}),
	'lost, fetched again');

# damaged

for my $case ([ 'noise', sub { $c->bytes(100000) } ],
	[ 'a damaged header', sub { substr($_[0], 0, 90) . "\xff" x 300
		. substr($_[0], 390) } ],
	[ 'cut off', sub { substr($_[0], 0, $mb) } ])
{
	my ($name, $make) = @$case;

	$t->stop();
	my $content = Test::Confluence::slurp($db);
	unlink glob("$db*");
	Test::Confluence::spew($db, $make->($content));
	my $n = matches(qr/database of ".*" was damaged and is begun anew/);
	$t->run();
	wait_for(sub {
		matches(qr/database of ".*" was damaged and is begun anew/) > $n
	}, "$name, told");
	is(fetch($two, peers => [ $seed ]), sha256_hex($two->{whole}),
		"$name, fetched again");
}

# a table is missing

$t->stop();
system("sqlite3 $db 'DROP TABLE block'");
$t->run();
wait_for(\&healthy, 'no table');
is(fetch($two, peers => [ $seed ]), sha256_hex($two->{whole}),
	'no table, fetched again');

# empty: as good as none

$t->stop();
unlink glob("$db*");
Test::Confluence::spew($db, '');
my $n = matches(qr/damaged/);
$t->run();
wait_for(\&healthy, 'empty');
is(fetch($two, peers => [ $seed ]), sha256_hex($two->{whole}), 'empty');
is(matches(qr/damaged/), $n, 'empty, nothing is told');

# of somebody else: left alone, and what is wrong is told

for my $case ([ 'of another program', 'PRAGMA application_id = 7',
	qr/database "[^"]+" is not of confluence/ ],
	[ 'of a newer version', 'PRAGMA user_version = 2',
	qr/database "[^"]+" is of version 2, which is not known/ ])
{
	my ($name, $sql, $re) = @$case;

	$t->stop();
	system("sqlite3 $db '$sql'");
	my $content = Test::Confluence::slurp($db);
	$t->run();

	wait_for(sub { matches($re) }, "$name, told");
	like(http_get('/health'), qr/ 503 /, $name);
	ok(Test::Confluence::slurp($db) eq $content, "$name, left alone");

	unlink glob("$db*");
	wait_for(\&healthy, "$name, removed");
	is(fetch($two, peers => [ $seed ]), sha256_hex($two->{whole}),
		"$name, removed");
}

# too large for a lower limit: the file gets shorter

$t->stop();
$conf->('cache layout=sqlite max_size=off');
$t->run();
is(fetch($large, peers => [ $seed ]), sha256_hex($large->{whole}), 'no limit');
cmp_ok(count('SELECT sum(length(data)) FROM block'), '>', 24 * $mb,
	'no limit, all is kept');

$t->stop();
$conf->('cache layout=sqlite max_size=4m');
$t->run();
wait_for(sub { -s $db < 14 * $mb }, 'shorter');
cmp_ok(-s $db, '<', 14 * $mb, 'a lower limit, the file is shorter');
is(fetch($large, peers => [ $seed ]), sha256_hex($large->{whole}),
	'a lower limit, served');

sub fetch {
	my ($torrent, %o) = @_;

	return $c->fetch($c->url($torrent, %o))->{sha256};
}

sub healthy {
	return http_get('/health') =~ / 200 OK/;
}

sub layouts {
	return matches(qr/engine started, cache "\Q$dir\E\/cache"/);
}

sub matches {
	my ($re) = @_;
	my $n = () = $t->read_file('error.log') =~ /$re/g;

	return $n;
}

sub count {
	return ($c->rows(@_))[0];
}

sub wait_for {
	Test::Confluence::wait_for($_[0], 30, $_[1]);
}
