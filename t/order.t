#!/usr/bin/perl

# What a reader comes to first is requested first, of a peer that is so slow
# that much of what is ahead of the reader is due far in the future.

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
my $c = Test::Confluence->new($t);

my $conf = $c->conf();

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

        location / {
            confluence;
        }
    }
}

EOF

my $torrent = $c->torrent('a.bin', size => 6000000, piece => 262144);
my $peer = $c->seed_scripted($torrent, mode => 'slow:300000');

$t->run()->plan(3);

my $r = $c->fetch({ url => $c->url($torrent, peers => [ $peer ]),
	timeout => 60 });

is($r->{status}, 200, 'status');
ok($r->{body} eq $torrent->{whole}, 'every byte');

# how much of later pieces is requested before the last block of each

my %last;
my @asked = map { [ split ] } $peer->output() =~ /^request (\d+ \d+) \d+$/mg;
$last{$asked[$_][0]} = $_ for 0 .. $#asked;

my %early;

for my $piece (keys %last) {
	my $n = grep { $_->[0] > $piece } @asked[0 .. $last{$piece}];
	$early{$piece} = $n if $n > 16;
}

is(join(' ', map { "$_: $early{$_}" } sort { $a <=> $b } keys %early), '',
	'no piece before one that is due earlier');
