#!/usr/bin/perl

# Tests for confluence_private_networks: whatever a client, a server or a name
# says, nobody in private networks is talked to unless it is on.  The address
# 203.0.113.1 stands for the Internet.

use warnings;
use strict;

use FindBin;
use IO::Select;
use IO::Socket::IP;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Confluence::Namespace;
use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

my $dir = $t->testdir();
my $port = 7100;
my $public = '203.0.113.1';

system("ip addr add $public/24 dev lo") == 0 or die "Can't add $public\n";

my @private = ('127.0.0.1', '10.99.1.1', '[::1]');
my @names = (@private, 'localhost', '[::ffff:127.0.0.1]', '[::ffff:10.99.1.1]');

$t->run_daemon(\&listener, "$dir/told.log");
Test::Confluence::wait_for(sub { -f "$dir/told.log" }, 10, 'listener');

for my $on ('off', 'on') {
	conf(private_networks => $on);
	$t->run();
	$t->plan(20) if $on eq 'off';

	# a magnet, and a .torrent that names the same

	my @trackers = ((map { ("http://$_:$port/announce/literal/$_",
		"udp://$_:$port/announce") } @names),
		"http://$public:$port/announce/redirect");
	my @webseeds = ("http://$public:$port/ws/redirect/",
		map { "http://$_:$port/ws/$_/" } @names);
	my @sources = ("http://$public:$port/source/redirect/",
		map { "http://$_:$port/source/$_" } @names);

	my $m = $c->torrent("$on.magnet", size => 100000, seed => "m$on");
	my $f = $c->torrent("$on.file", size => 100000, seed => "f$on",
		trackers => \@trackers, webseeds => \@webseeds,
		meta => { nodes => [ map { [ s/[][]//gr, \$port ] } @names ] });

	http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
		. length($f->{bytes}) . "\x0d\x0a\x0d\x0a$f->{bytes}");

	my @r = $c->fetch($c->url($f),
		$c->url($m, trackers => \@trackers, webseeds => \@webseeds,
			sources => \@sources, peers => [ map { "$_:$port" } @names ]));

	is(join(' ', map { $_->{status} } @r), '504 504', "$on, no data");
	ok(told(qr!^$public tcp GET /announce/redirect!m),
		"$on, a tracker of the Internet is asked");
	ok(told(qr!^$public tcp GET /ws/redirect!m),
		"$on, a web seed of the Internet is asked");
	ok(told(qr!^$public tcp GET /source/redirect!m),
		"$on, a source of the Internet is asked");

	if ($on eq 'off') {
		my @lines = grep { !/^\Q$public\E / }
			split /\n/, Test::Confluence::slurp("$dir/told.log");

		is(join("\n", @lines), '', 'nobody else is');

	} else {
		ok(told(qr!^127.0.0.1 tcp GET /announce/literal/127!m),
			'on, tracker');
		ok(told(qr!^127.0.0.1 tcp GET /announce/literal/localhost!m),
			'on, tracker by name');
		ok(told(qr!^127.0.0.1 tcp GET /announce/redirected!m),
			'on, tracker by redirect');
		ok(told(qr!^127.0.0.1 udp .*\0\0\x04\x17\x27\x10!ms),
			'on, UDP tracker');
		ok(told(qr!^\S+ tcp GET /ws/(?:127|10|\[)!m), 'on, web seed');
		ok(told(qr!^127.0.0.1 tcp GET /ws/localhost!m),
			'on, web seed by name');
		ok(told(qr!^\S+ tcp GET /source/(?:127|10|\[)!m), 'on, source');
		ok(told(qr!^127.0.0.1 tcp GET /source/localhost!m),
			'on, source by name');
		ok(told(qr!^127.0.0.1 tcp GET /source/redirected!m),
			'on, source by redirect');
		ok(told(qr!^127.0.0.1 tcp \x13BitTorrent!m), 'on, peer');
		ok(told(qr!^127.0.0.1 udp d1:a!m), 'on, node of the DHT');
	}

	$t->stop();
}

sub told {
	my ($re) = @_;

	return eval {
		Test::Confluence::wait_for(sub {
			Test::Confluence::slurp("$dir/told.log") =~ $re;
		}, 10, 'told');
	};
}

# Notes what comes to each address, and redirects to a private one.

sub listener {
	my ($log) = @_;

	my (%of, %in);
	my $select = IO::Select->new();

	for my $host (@private, $public) {
		for my $proto ('tcp', 'udp') {
			my $s = IO::Socket::IP->new(Proto => $proto,
				LocalHost => $host =~ s/[][]//gr,
				LocalPort => $port, ReuseAddr => 1,
				GetAddrInfoFlags => 0,
				$proto eq 'tcp' ? (Listen => 100) : ())
				or die "Can't listen on $host: $@\n";

			$of{$s} = [ $host, $proto ];
			$select->add($s);
		}
	}

	open my $fh, '>', $log or die "Can't open log: $!\n";
	$fh->autoflush(1);

	while (1) {
		for my $s ($select->can_read()) {
			my ($host, $proto) = @{ $of{$s} };

			if ($proto eq 'tcp' && !$in{$s}) {
				my $client = $s->accept() or next;

				$of{$client} = [ $host, $proto ];
				$in{$client} = 1;
				$select->add($client);
				print $fh "$host connection\n"
					if $host ne $public;
				next;
			}

			$s->recv(my $data, 65536);
			print $fh "$host $proto ", $data =~ s/[\r\n]+/ /gr, "\n"
				if length $data;

			next if $proto eq 'udp';

			$s->print("HTTP/1.0 302 Found\x0d\x0aLocation: "
				. "http://127.0.0.1:$port/$1/redirected"
				. "\x0d\x0aContent-Length: 0\x0d\x0a\x0d\x0a")
				if $data =~ m!^GET /(\w+)/redirect[/?]!;

			$select->remove($s);
			$s->close();
			delete $in{$s};
			delete $of{$s};
		}
	}
}

sub conf {
	my $conf = $c->conf(dht => 'on', dht_bootstrap => "$public:$port",
		listen => '127.0.0.1:7020 10.99.20.1:7020 [::1]:7020 '
			. "$public:7020", @_);

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
            confluence_wait_timeout 6s;
        }
    }
}

EOF
}
