#!/usr/bin/perl

# Tests with peers that misbehave: the data is right, or it does not come.

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

my $conf = $c->conf();

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

        # a bad peer is given up after some seconds

        location / {
            confluence;
            confluence_wait_timeout 20s;
        }

        location /alone {
            confluence data;
            confluence_wait_timeout 2s;
        }
    }
}

EOF

my @modes = ('corrupt', 'corrupt:7', 'stall:5', 'drop:9', 'short', 'wrongindex',
	'huge', 'choke', 'noise', 'metabad', 'metahuge', 'nometa',
	'slow:50000');

$t->run()->plan(4 * @modes + 4);

# with a good peer beside

for my $mode (@modes) {
	my $torrent = $c->torrent("$mode.bin", size => 2000000, piece => 65536,
		seed => $mode);
	my $bad = $c->seed_scripted($torrent, mode => $mode);
	my $good = $c->seed_libtorrent($torrent);

	my $r = $c->fetch({ timeout => 40,
		url => $c->url($torrent, peers => [ $bad, $good ]) });

	is($r->{status}, 200, "$mode and a good peer, status");
	ok($r->{body} eq $torrent->{whole}, "$mode and a good peer, data");

	$_->stop() for $bad, $good;
}

# alone

for my $mode (@modes) {
	my $torrent = $c->torrent("$mode.alone", size => 500000, piece => 65536,
		seed => "$mode alone");
	my $bad = $c->seed_scripted($torrent, mode => $mode);

	my $r = $c->fetch({ timeout => 15,
		url => $c->url($torrent, route => '/alone', peers => [ $bad ]) });

	my $good = $r->{status} == 200 ? $torrent->{whole} : '';
	my $body = $r->{status} == 200 ? $r->{body} : '';

	ok(substr($good, 0, length $body) eq $body, "$mode alone, no bad byte");

	if ($mode =~ /^(?:slow|metahuge)/) {
		is(length($body), length($good), "$mode alone, all of it");

	} else {
		isnt($r->{error} == 0 ? $r->{status} : 0, 200,
			"$mode alone, the response is not complete");
	}

	$bad->stop();
}

# files that are not what the torrent says

my $torrent = $c->torrent('wrong.bin', size => 500000, piece => 65536);
Test::Confluence::spew("$torrent->{dir}/wrong.bin", 'x' x 500000);
my $seed = $c->seed_libtorrent($torrent);

my $r = $c->fetch({ timeout => 15,
	url => $c->url($torrent, route => '/alone', peers => [ $seed ]) });
isnt($r->{status}, 200, 'wrong files');
unlike($r->{body}, qr/xxx/, 'wrong files, no bad byte');

my $info = $c->torrent('a.bin', size => 100000);
$r = $c->fetch($c->url({ %$info, ih => 'a' x 40 }, route => '/alone',
	peers => [ $seed ]));
is($r->{status}, 504, 'peer without the torrent');

like(http_get('/health'), qr/ 200 OK/, 'healthy');
