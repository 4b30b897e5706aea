#!/usr/bin/perl

# Tests for the variables, as the access log has them.

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

$t->write_file_expand('nginx.conf', <<'EOF' =~ s{%%CONFLUENCE%%}{$c->conf()}er);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    log_format  confluence
        "$arg_n|$status|$confluence_infohash|$confluence_cache_status|"
        "$confluence_wait_time|$confluence_bytes_cached";

    access_log  %%TESTDIR%%/confluence.log  confluence;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
            confluence_wait_timeout 30s;
        }

        location /short {
            confluence data;
            confluence_wait_timeout 1200ms;
        }

        location /static {
            return 204;
        }
    }
}

EOF

$t->run()->plan(21);

my $torrent = $c->torrent('a.bin', size => 300000, piece => 65536);
my $hybrid = $c->torrent('h.bin', kind => 'hybrid', size => 100000);
my $seed = $c->seed_libtorrent([ $torrent, $hybrid ]);
my $ih = $torrent->{ih};
my $url = $c->url($torrent, peers => [ $seed ]);
my $n = 0;

# status, infohash, cache status, bytes in the cache

is(logged($url, '0-65535'), "206|$ih|MISS|0", 'nothing is cached');
like(waited(), qr/^\d+\.\d{3}$/, 'seconds and milliseconds');
cmp_ok(waited(), '>', 0, 'it waited');
is(logged($url, '0-99'), "206|$ih|HIT|100", 'all of it is cached');
is(waited(), '0.000', 'it did not wait');
is(logged($url), "200|$ih|PARTIAL|65536", 'a part of it is cached');
is(logged($url), "200|$ih|HIT|300000", 'the whole is cached');
is(logged($url, '65000-66000'), "206|$ih|HIT|1001", 'two pieces');
is(logged($url, '300000-'), "416|$ih|-|-", 'no bytes');

is(logged("/data?ih=\U$ih"), "200|$ih|HIT|300000", 'lower case');
is(logged("/data/infohash/$ih/"), "200|$ih|HIT|300000", 'in the path');
is(logged($c->url($hybrid, peers => [ $seed ])), "200|$hybrid->{ih}|MISS|0",
	'hybrid');
is(logged('/data?magnet=' . Test::Confluence::escape('magnet:?xt=urn:btmh:1220'
	. $hybrid->{v2}) . '&x='), "200|$hybrid->{ih}|HIT|100000",
	'hybrid, by its v2 infohash');

# others

is(logged("/info?ih=$ih"), "200|$ih|-|-", 'info');
like(waited(), qr!^\d+\.\d{3}$!, 'info, some time');
is(logged('/status?'), '200|-|-|-', 'no infohash');
is(logged('/data?ih=x'), '400|-|-|-', 'no valid infohash');
is(logged('/static?'), '204|-|-|-', 'none of ours');
is(waited(), '-', 'none of ours, no time');

is(logged('/short?ih=' . 'a' x 40), '504|' . 'a' x 40 . '|-|-', 'no data');
cmp_ok(waited(), '>=', 1.2, 'it waited until the time-out');

# Requests a URL and returns what was logged of it, but the time.

sub logged {
	my ($url, $range) = @_;

	$n++;
	$c->fetch({ url => $url . ($url =~ /\?/ ? '&' : '?') . "n=$n",
		args => [ defined $range ? ('-r', $range) : () ] });

	my @fields = fields();

	return join '|', @fields[1 .. 3, 5];
}

sub waited {
	return (fields())[4];
}

# The line may come after the response.

sub fields {
	my ($line) = Test::Confluence::wait_for(sub {
		my ($found) = Test::Confluence::slurp($t->testdir()
			. '/confluence.log') =~ /^($n\|.*)$/m;

		return $found;
	}, 10, "line $n");

	return split /\|/, $line;
}
