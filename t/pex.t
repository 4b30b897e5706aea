#!/usr/bin/perl

# Tests for peer exchange (BEP 11): a seeder that only another peer knows of;
# not with confluence_pex off, nor of a private torrent (BEP 27).

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

my $torrent = $c->torrent('a.bin', size => 100000);
my $private = $c->torrent('private.bin', size => 100000, private => 1);

conf(pex => 'on');
$t->run()->plan(9);

# the first peer has the beginning only, the second is not told to us

my ($first, $second) = peers($torrent);

is(get($torrent, $first), 200, 'a peer of a peer has the rest');
like($second->output(), qr/^connect /m, 'it was connected to');
like($first->output(), qr/^extended .*\but_pex\b/m, 'peer exchange is told');

# whether a torrent is private cannot be known before its info is

($first, $second) = peers($private);
post($private);

is(get($private, $first), 504, 'private, what is elsewhere is not had');
unlike($second->output(), qr/^connect /m, 'private, nobody else is asked');
unlike($first->output(), qr/\but_pex\b/, 'private, not told');

$t->stop();
conf(pex => 'off');
$t->run();

my $other = $c->torrent('b.bin', size => 100000);

($first, $second) = peers($other);

is(get($other, $first), 504, 'off, what is elsewhere is not had');
unlike($second->output(), qr/^connect /m, 'off, nobody else is asked');
unlike($first->output(), qr/\but_pex\b/, 'off, not told');

sub peers {
	my ($torrent) = @_;

	my $second = $c->seed_scripted($torrent);
	my $first = $c->seed_scripted($torrent, have => '0-2', pex => $second);

	return ($first, $second);
}

# The status of a read that begins with what only the second peer has; by then
# the first has told of it, since it gave the metadata.

sub get {
	my ($torrent, $peer) = @_;

	my $r = $c->fetch({ url => $c->url($torrent, peers => [ $peer ]),
		args => [ '-r', '80000-' ] });

	return 200 if $r->{status} == 206
		&& $r->{body} eq substr($torrent->{whole}, 80000);

	return $r->{status};
}

sub post {
	my ($torrent) = @_;

	http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
		. length($torrent->{bytes})
		. "\x0d\x0a\x0d\x0a$torrent->{bytes}");
}

sub conf {
	my $conf = $c->conf(@_);

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
            confluence_wait_timeout 2s;
        }
    }
}

EOF
}
