#!/usr/bin/perl

# Tests for the WebSocket of /events as RFC 6455 has it: the opening handshake,
# frames in all sizes and parts, and what breaks the protocol.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use IO::Select;
use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http http_v2/);
my $c = Test::Confluence->new($t)->has('curl');

$t->write_file_expand('nginx.conf', <<'EOC' =~ s/%%CONFLUENCE%%/$c->conf()/er);

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

%%CONFLUENCE%%

    server {
        listen       127.0.0.1:8080;
        listen       127.0.0.1:8081 http2;
        server_name  localhost;

        location / {
            confluence;
        }
    }
}

EOC

my $torrent = $c->torrent('a.bin', size => 100000);
my $url = "/events?ih=$torrent->{ih}";

$t->run()->plan(54);

http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
	. length($torrent->{bytes}) . "\x0d\x0a\x0d\x0a$torrent->{bytes}");

# the handshake

my $r = handshake();
like($r, qr/^HTTP\/1.1 101 Switching Protocols\x0d$/m, 'status');
like($r, qr/^Upgrade: websocket\x0d$/m, 'upgrade');
like($r, qr/^Connection: upgrade\x0d$/mi, 'connection');
like($r, qr/^Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\x0d$/m,
	'accept');
unlike($r, qr/^(?:Content-\w+|Transfer-Encoding|Sec-WebSocket-(?!Accept)\S+):/m,
	'and no more than that');

unlike(handshake(add => 'Sec-WebSocket-Extensions: permessage-deflate'),
	qr/^Sec-WebSocket-Extensions:/m, 'no extensions');
like(handshake(add => 'Sec-WebSocket-Protocol: foo'),
	qr/ 101 .*^Sec-WebSocket-Protocol: foo\x0d$/ms, 'a protocol');
like(handshake(add => 'Sec-WebSocket-Protocol: foo, bar'),
	qr/ 101 (?!.*^Sec-WebSocket-Protocol)/ms, 'several protocols');
like(handshake(add => "Sec-WebSocket-Protocol: foo\x0d\x0a"
	. "Sec-WebSocket-Protocol: bar"),
	qr/ 101 (?!.*^Sec-WebSocket-Protocol)/ms, 'several headers of them');
like(handshake(add => 'Origin: null'), qr/ 101 /, 'any origin');
like(handshake(Upgrade => 'WebSocket', Connection => 'keep-alive, Upgrade'),
	qr/ 101 /, 'upgrade among others');

for my $case (
	[ { Upgrade => undef }, 400, 'not websocket protocol', 'no upgrade' ],
	[ { Upgrade => 'h2c' }, 400, 'not websocket protocol',
		'another upgrade' ],
	[ { Connection => 'close' }, 400, 'not websocket protocol',
		'no upgrade of the connection' ],
	[ { 'Sec-WebSocket-Key' => undef }, 400,
		'mismatch challenge/response', 'no key' ],
	[ { 'Sec-WebSocket-Key' => '' }, 400,
		'mismatch challenge/response', 'empty key' ],
	[ { 'Sec-WebSocket-Version' => undef }, 426,
		'missing or bad WebSocket Version', 'no version' ],
	[ { 'Sec-WebSocket-Version' => '8' }, 426,
		'missing or bad WebSocket Version', 'old version' ],
	[ { version => '1.0' }, 400, 'not websocket protocol, which needs '
		. 'HTTP/1.1', 'http/1.0' ],
	[ { add => 'Content-Length: 5' }, 400,
		'websocket handshake with a body', 'a body' ],
	[ { url => '/events?ih=abc' }, 400, 'error determining requested '
		. 'infohash: hash hex string has bad length: 3', 'infohash' ],
)
{
	my ($headers, $status, $text, $name) = @$case;

	$r = handshake(%$headers);
	like($r, qr/^HTTP\/1.1 $status .*^Content-Length: \d+\x0d\n.*^\Q$text\E\n\z/ms,
		$name);

	like($r, qr/^Sec-WebSocket-Version: 13\x0d$/m, "$name: which")
		if $status == 426;
	like($r, qr/^Upgrade: websocket\x0d$/m, "$name: upgrade to")
		if $status == 426;
}

like(http("POST $url HTTP/1.0\x0d\x0a\x0d\x0a"), qr/ 405 .*^Allow: GET/ms,
	'post');
is($c->fetch({ url => 'http://127.0.0.1:' . port(8081) . $url,
	args => [ '--http2-prior-knowledge', '-H',
		'Sec-WebSocket-Version: 13' ] })->{status}, 400, 'http/2');

# frames; each answer is all that comes until the end

my $close = frame(8, pack('n', 1000));
my $bye = "\x88\x02\x03\xe8";

is(talk($close), $bye, 'close');
is(talk(frame(8, '')), $bye, 'close without a code');
is(talk(frame(8, pack('n', 3456) . 'reason')), "\x88\x02\x0d\x80",
	'code of its own');
is(talk(frame(9, 'abc') . $close), "\x8a\x03abc$bye", 'ping');
is(talk(frame(9, '') . $close), "\x8a\x00$bye", 'empty ping');
is(talk(frame(9, 'x' x 125) . $close), "\x8a\x7d" . ('x' x 125) . $bye,
	'long ping');
is(talk(frame(10, 'abc') . $close), $bye, 'pong is ignored');
is(talk(frame(1, 'text') . frame(2, "\0\1") . frame(1, '') . $close), $bye,
	'data is ignored');
is(talk(frame(1, 'x' x 65536) . $close), $bye, 'a long message');
is(talk(frame(1, 'a', fin => 0) . frame(9, 'p') . frame(0, 'b', fin => 0)
	. frame(0, 'c') . $close), "\x8a\x01p$bye", 'ping within a message');
is(talk(map { split //, $_ } frame(9, 'abc'), frame(1, 'x' x 200), $close),
	"\x8a\x03abc$bye", 'byte by byte');
is(talk(frame(9, 'abc') . $close, early => 1), "\x8a\x03abc$bye",
	'frames with the handshake');

# what breaks the protocol

my $protocol = "\x88\x02\x03\xea";

is(talk("\x81\x03abc"), $protocol, 'not masked');
is(talk(frame(3, 'abc')), $protocol, 'reserved opcode');
is(talk(frame(11, 'abc')), $protocol, 'reserved control opcode');
is(talk(frame(1, 'abc', rsv => 4)), $protocol, 'reserved bit');
is(talk(frame(0, 'abc')), $protocol, 'continuation of nothing');
is(talk(frame(1, 'a', fin => 0) . frame(1, 'b')), $protocol,
	'message within a message');
is(talk(frame(9, 'x' x 126)), $protocol, 'ping too long');
is(talk(frame(9, 'x', fin => 0)), $protocol, 'ping in parts');
is(talk(frame(8, 'x')), $protocol, 'half a code');
is(talk(frame(8, pack('n', 1005))), $protocol, 'code that is never sent');
is(talk(frame(1, 'x' x 65537)), "\x88\x02\x03\xf1", 'message too long');
is(talk("\x82\xff" . pack('NN', 0x7fffffff, 0) . "\1\2\3\4" . 'x' x 100),
	"\x88\x02\x03\xf1", 'message of many exabytes');
is(talk("\x82\xff" . pack('NN', 0x80000000, 0) . "\1\2\3\4" . 'x' x 100),
	$protocol, 'length with a sign');

# a client that sends and does not read

my $s = connected();
my $flood = frame(9, 'x' x 100) x 500;

$s->blocking(0);

for (1 .. 400) {
	last if !IO::Select->new($s)->can_write(0.2);
	syswrite($s, $flood);
}

like(http_get('/health'), qr/ 200 /, 'a flood of pings');
close $s;

# one that leaves without a word

$s = connected();
close $s;
like(http_get('/health'), qr/ 200 /, 'gone');

# The text of a handshake, changed by options that are headers.

sub request {
	my (%o) = @_;

	my %h = (
		Upgrade => 'websocket',
		Connection => 'Upgrade',
		'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==',
		'Sec-WebSocket-Version' => 13,
		map { $_ => $o{$_} } grep { /^[A-Z]/ } keys %o,
	);

	return 'GET ' . ($o{url} || $url) . ' HTTP/' . ($o{version} || '1.1')
		. "\x0d\x0aHost: localhost\x0d\x0a"
		. join('', map { "$_: $h{$_}\x0d\x0a" }
			grep { defined $h{$_} } sort keys %h)
		. ($o{add} ? "$o{add}\x0d\x0a" : '') . "\x0d\x0a";
}

# The header, and the body of a refusal.

sub handshake {
	my $s = http(request(@_), start => 1);
	my $text = '';

	while (IO::Select->new($s)->can_read(5)) {
		sysread($s, $text, 1, length $text) or last;

		last if $text =~ /\x0d\x0a\x0d\x0a(.*)\z/s
			&& length $1 == ($text =~ /^Content-Length: (\d+)/m
				? $1 : 0);
	}

	close $s;

	return $text;
}

sub connected {
	my $s = http(request(), start => 1);
	my $text = '';

	while ($text !~ /\x0d\x0a\x0d\x0a/) {
		sysread($s, $text, 1, length $text) or die "Refused: $text\n";
	}

	return $s;
}

sub frame {
	my ($opcode, $payload, %o) = @_;

	my $fin = defined $o{fin} ? $o{fin} : 1;
	my $length = length $payload;
	my $mask = "\x12\x34\x56\x78";

	return chr($fin << 7 | ($o{rsv} || 0) << 4 | $opcode)
		. ($length < 126 ? chr(0x80 | $length)
			: $length < 65536 ? "\xfe" . pack('n', $length)
			: "\xff" . pack('NN', 0, $length))
		. $mask . ($payload ^ substr($mask x ($length / 4 + 1), 0,
			$length));
}

# Sends these parts and returns what is answered; "open" if the connection is
# not closed.

sub talk {
	my (@parts) = @_;

	my $early = @parts > 2 && $parts[-2] eq 'early'
		? (pop @parts, pop @parts) : 0;

	my $s;

	if ($early) {
		$s = http(request() . $parts[0], start => 1);

	} else {
		$s = connected();
		$s->autoflush(1);

		for (@parts) {
			syswrite($s, $_);
		}
	}

	my $text = '';

	while (IO::Select->new($s)->can_read(5)) {
		if (!sysread($s, $text, 65536, length $text)) {
			$text =~ s/^.*?\x0d\x0a\x0d\x0a//s if $early;
			return $text;
		}
	}

	return "$text, open";
}
