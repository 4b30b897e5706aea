#!/usr/bin/perl

# Tests for reading on demand: what is asked of the swarm, and when.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $conf = $c->conf(readahead => '256k');

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
    }
}

EOF

my $piece = 65536;
my $torrent = $c->torrent('a.bin', size => 200 * $piece, piece => $piece);
my $peer = $c->seed_scripted($torrent, mode => 'hold');

$t->run()->plan(17);

my $url = $c->url($torrent, peers => [ $peer ]);

# nothing is fetched that nobody reads

like(http_head($url), qr/ 200 OK/, 'head');
like(http_get($c->url($torrent, route => '/info')), qr/ 200 OK/, 'info');
is_deeply([ requested() ], [], 'no data for head and info');

# the end of a file: its piece and no other

$peer->tell('mode good');
my $r = range(-1000, '');
is(http_content($r), substr($torrent->{whole}, -1000), 'tail');
is_deeply([ requested() ], [ 199 ], 'tail asks for one piece');

# a range asks for its own pieces, in order of need

$r = range(100 * $piece + 10, 103 * $piece - 1);
is(http_content($r), substr($torrent->{whole}, 100 * $piece + 10,
	3 * $piece - 10), 'range');
is_deeply([ sort { $a <=> $b } grep { $_ != 199 } requested() ],
	[ 100, 101, 102 ], 'range asks for its pieces');

# what was read once is not asked for again

range(101 * $piece, 102 * $piece - 1);
is(scalar(grep { $_ == 101 } map { (split)[1] }
	$peer->output() =~ /^(request 101 0 .*)$/mg), 1, 'once');

# a reader far ahead is not behind one that fetches all

$peer->tell('mode hold');
my $s = http_get($url, start => 1);
$peer->wait_line(qr/^request 0 /);

my $s2 = http("GET $url HTTP/1.0\x0d\x0aRange: bytes="
	. 150 * $piece . '-' . (150 * $piece + 9) . "\x0d\x0a\x0d\x0a",
	start => 1);
ok($peer->wait_line(qr/^request 150 /), 'a seek is asked for at once');

$peer->tell('give 150');
is(http_content(http_end($s2)), substr($torrent->{whole}, 150 * $piece, 10),
	'a seek is answered first');

# the window: nobody asks for the end while the start is read

my @far = grep { $_ > 60 && $_ < 100 } requested();
is_deeply(\@far, [], 'no more than the window');

# a reader that leaves takes its wishes along: what is not given yet is not
# waited for, and nothing more is asked for

my @asked = outstanding();
cmp_ok(scalar @asked, '>', 0, 'blocks are asked for');

close $s;

ok(eval {
	Test::Confluence::wait_for(sub { !outstanding() }, 5, 'taken back');
}, 'requests are taken back');

unlike(http_get($c->url($torrent, route => '/fileState', path => 'a.bin')),
	qr/"Priority":[1-9]/, 'no piece is wanted');

my $n = () = $peer->output() =~ /^request/mg;
$peer->tell('give all');
is(http_content(range(190 * $piece, 190 * $piece + 9)),
	substr($torrent->{whole}, 190 * $piece, 10), 'another reader');
is(scalar(() = $peer->output() =~ /^request/mg) - $n, $piece / 16384,
	'no more is asked for than it needs');

# all that time the peer was told that we are interested

my @said = $peer->output() =~ /^((?:un)?interested|connect|close)\b/mg;
is_deeply(\@said, [ qw/ connect interested / ],
	'one connection, interested in it from first to last');

sub range {
	my ($first, $last) = @_;

	$first = '' . $first;

	my $range = $first < 0 ? $first : "$first-$last";

	return http("GET $url HTTP/1.0\x0d\x0a"
		. "Range: bytes=$range\x0d\x0a\x0d\x0a");
}

# Blocks that were asked for, neither taken back nor given.  The peer holds all
# of those of pieces that it was not told to give.

sub outstanding {
	my $output = $peer->output();
	my %held;

	$held{$1} = 1 while $output =~ /^request (\d+ \d+) /mg;
	delete $held{$1} while $output =~ /^cancel (\d+ \d+) /mg;

	return grep { !/^(?:199|100|101|102|150) / } keys %held;
}

# The pieces that were asked for, each once.

sub requested {
	my %seen;

	return sort { $a <=> $b } grep { !$seen{$_}++ }
		$peer->output() =~ /^request (\d+) /mg;
}
