#!/usr/bin/perl

# Tests for pieces in doubt: after an unclean stop and another boot all that
# was complete is hashed before it is served, and nothing else is.

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

$t->write_file_expand('nginx.conf', <<'EOF' =~ s/%%CONFLUENCE%%/$c->conf()/er);

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
    }
}

EOF

my $dir = $t->testdir();
my $mb = 1024 * 1024;
my $piece = 256 * 1024;

# 16 pieces to a segment

my $big = $c->torrent('big.bin', size => 12 * $mb, piece => $piece);
my $v2 = $c->torrent('v2.bin', size => 3 * $mb, piece => $piece, kind => 'v2',
	seed => 2);
my $hybrid = $c->torrent('hybrid.bin', size => 3 * $mb, piece => $piece,
	kind => 'hybrid', seed => 3);
my $seed = $c->seed_libtorrent([ $big, $v2, $hybrid ]);

$t->run()->plan(30);

for ($big, $v2, $hybrid) {
	ok($c->fetch($c->url($_, peers => [ $seed ]))->{body} eq $_->{whole},
		"$_->{name} is fetched");
}

# whoever loads a v2 torrent knows its hashes when it has been dropped once

$t->stop();
$seed->stop();

# the same boot

is(start(), 0, 'after a stop nothing is in doubt');
$c->kill_all();
is(start(), 0, 'nor after a kill in the same boot');
$t->stop();

# another boot after a stop in order

$c->reboot();
is(start(), 0, 'nor after a stop and another boot');
whole('after a stop and another boot');

# another boot without: what was sealed before is not any more

$c->kill_all();
$c->reboot();
is(start(), 48 + 12 + 12, 'after a power cut all pieces are in doubt');

my $state = '/fileState?nowait=1&path=big.bin&ih=' . $big->{ih};
my $r = http_content(http_get($state));

is(scalar(() = $r =~ /"QueuedForHash": ?true/g), 48, 'they are queued');
unlike($r, qr/"Complete": ?true/, 'and not complete');

$r = $c->fetch({ url => $c->url($big),
	args => [ '-r', 5 * $mb . '-' . (5 * $mb + 99) ] });
is($r->{status}, 206, 'a range, without peers');
ok($r->{body} eq substr($big->{whole}, 5 * $mb, 100), 'its bytes');

# it stays so over a stop

$t->stop();
cmp_ok(start(), '>', 12 + 12 + 30, 'in doubt still after a stop in order');
whole('hashed when they are asked for');

is(() = http_content(http_get($state)) =~ /"Complete": ?true/g, 48,
	'complete then');

# what was lost: a byte of piece 5, the end of segment 1, all of segment 2

$c->kill_all();
$c->reboot();

my @files = map { segment($big, $_) } 0 .. 2;

Test::Confluence::flip($files[0], 5 * $piece + 1000);
truncate $files[1], 2 * $mb + 1;
unlink $files[2];
Test::Confluence::flip(segment($v2, 0), $piece);
Test::Confluence::flip(segment($hybrid, 0), $piece);

is(start(), 16 + 12 + 12, 'what has no whole file is not in doubt');

my $peer = $c->seed_scripted($big);

$r = $c->fetch($c->url($big, peers => [ $peer ]));
ok($r->{body} eq $big->{whole}, 'what was lost is fetched again');

my %asked = map { $_ => 1 } $peer->output() =~ /^request (\d+) /mg;
is(join(' ', sort { $a <=> $b } keys %asked),
	join(' ', 5, 16 .. 47), 'and nothing else');

$seed = $c->seed_libtorrent([ $v2, $hybrid ]);

for ($v2, $hybrid) {
	ok($c->fetch($c->url($_, peers => [ $seed ]))->{body} eq $_->{whole},
		"$_->{name} with a bad piece");
}

like($t->read_file('error.log'),
	qr/\[warn\] .*"$big->{ih}": 1 of pieces .* unclean stop/,
	'the log tells of it');

# the metainfo was lost, too

$c->kill_all();
$c->reboot();
Test::Confluence::spew("$dir/cache/metainfo/$big->{ih}.torrent", "\0" x 1000);
is(start(), 72, 'in doubt without metainfo');

$peer->stop();
$peer = $c->seed_scripted($big);
$r = $c->fetch($c->url($big, peers => [ $peer ]));
ok($r->{body} eq $big->{whole}, 'without metainfo');
unlike($peer->output(), qr/^request \d/m, 'only that is fetched');

# all of it was lost

$c->kill_all();
$c->reboot();
truncate segment($big, $_), 0 for 0 .. 2;
start();

$peer->stop();
$r = $c->fetch({ url => $c->url($big), args => [ '-r', '0-9' ],
	timeout => 3 });
is($r->{size}, 0, 'nothing is served of what is lost');
$seed = $c->seed_libtorrent($big);
ok($c->fetch($c->url($big, peers => [ $seed ]))->{body} eq $big->{whole},
	'all is fetched again');

# Starts it; returns the number of pieces in doubt.

sub start {
	my $before = () = $t->read_file('error.log') =~ /pieces in doubt/g;

	$t->run();

	return Test::Confluence::wait_for(sub {
		my @n = $t->read_file('error.log') =~ /(\d+) pieces in doubt/g;
		@n > $before ? [ $n[-1] ] : 0
	}, 10, "engine started")->[0];
}

sub whole {
	my ($name) = @_;

	for ($big, $v2, $hybrid) {
		ok($c->fetch($c->url($_))->{body} eq $_->{whole},
			"$_->{name} without peers: $name");
	}
}

sub segment {
	my ($torrent, $n) = @_;

	return (glob "$dir/cache/pieces/$torrent->{ih}/$n.*")[0];
}
