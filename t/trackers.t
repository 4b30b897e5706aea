#!/usr/bin/perl

# Tests for trackers: who is told, when, and what is not.

use warnings;
use strict;

use FindBin;
use IO::Select;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx qw/ :DEFAULT http_content http_end /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');

# a tracker of the test: notes what it is told, knows no peers; libtorrent
# announces to the loopback only if the path begins with /announce

my $dir = $t->testdir();
my $base = 'http://127.0.0.1:' . port(8090);
my $implicit = 'http://127.0.0.1:8090/announce/implicit';

$t->run_daemon(\&tracker, port(8090), "$dir/told.log");
$t->waitforsocket('127.0.0.1:' . port(8090));

sub conf {
	my ($t, %o) = @_;

	$t->write_file_expand('nginx.conf', <<'EOF' =~ s{%%CONFLUENCE%%}{$c->conf(%o)}er);

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
}

# the port in a configuration is replaced there

conf($t, implicit_tracker => $implicit, torrent_grace => '2s');

my $torrent = $c->torrent('a.bin', size => 100000,
	trackers => [ "$base/announce/a", "$base/announce/b" ]);
my $private = $c->torrent('private.bin', size => 100000, private => 1,
	trackers => [ "$base/announce/private" ]);
my $seed = $c->seed_scripted($torrent);
my $seed2 = $c->seed_scripted($private);

$t->run()->plan(14);

# a torrent with trackers of its own, of a magnet, and of the configuration

like(post($torrent), qr/ 200 /, 'posted');
ok($c->fetch($c->url($torrent, peers => [ $seed ],
	trackers => [ "$base/announce/magnet" ]))->{body} eq $torrent->{whole}, 'data');

for my $name (qw/ a b magnet implicit /) {
	ok(told(qr!^/announce/$name started\.!m), "$name is told of the start");
}

like(log_of('a'), qr/port=\d+/, 'our port is told');
is(scalar(grep { told(qr!^/announce/$_ stopped\.!m) } qw/ a b magnet implicit /),
	4, 'the end is told');

# overridden

$t->stop();
unlink "$dir/told.log";
conf($t, implicit_tracker => $implicit, override_trackers => 'on');
$t->run();

http_get($c->url($torrent, route => '/info',
	trackers => [ "$base/announce/magnet" ]));
ok(told(qr!^/announce/implicit started\.!m), 'implicit tracker alone');
unlike(log_of(''), qr!^/announce/(?:a|b|magnet) !m, 'others are not told');

# off

$t->stop();
unlink "$dir/told.log";
conf($t, trackers => 'off', implicit_tracker => $implicit);
$t->run();

ok($c->fetch($c->url($private, peers => [ $seed2 ],
	trackers => [ "$base/announce/magnet" ]))->{body} eq $private->{whole},
	'data without trackers');

$t->stop();
is(log_of(''), '', 'nobody was told');

# nginx stops in the middle

my $last = $c->torrent('last.bin', size => 100000,
	trackers => [ "$base/announce/last" ]);

conf($t);
$t->run();
post($last);
ok(told(qr!^/announce/last started\.!m), 'the start is told again');
$t->stop();
ok(told(qr!^/announce/last stopped\.!m), 'the end is told when nginx stops');

sub post {
	my ($torrent) = @_;

	return http("POST /metainfo HTTP/1.0\x0d\x0aContent-Length: "
		. length($torrent->{bytes})
		. "\x0d\x0a\x0d\x0a$torrent->{bytes}");
}

sub log_of {
	my ($name) = @_;

	return '' unless -f "$dir/told.log";

	return join '', grep { m!^/announce/\Q$name\E! }
		split /^/, Test::Confluence::slurp("$dir/told.log");
}

sub told {
	my ($re) = @_;

	return eval {
		Test::Confluence::wait_for(sub { log_of('') =~ $re }, 20,
			'told');
	};
}

sub tracker {
	my ($port, $log) = @_;

	my $server = IO::Socket::INET->new(
		Proto => 'tcp',
		LocalAddr => "127.0.0.1:$port",
		Listen => 20,
		ReuseAddr => 1,
	) or die "Can't listen on $port: $!\n";

	while (my $client = $server->accept()) {
		my $line = <$client>;

		print $client "HTTP/1.0 200 OK\x0d\x0a\x0d\x0a"
			. 'd8:intervali1800e5:peers0:e';

		# whoever has not got the answer yet does not tell of the end

		shutdown($client, 1);
		1 while IO::Select->new($client)->can_read(5)
			&& sysread($client, my $rest, 4096);

		if (defined $line && $line =~ /^GET (\S+?)\?(\S*)/) {
			my ($path, $args) = ($1, $2);
			my ($event) = $args =~ /\bevent=(\w+)/;

			open my $fh, '>>', $log or die "Can't open log: $!\n";
			print $fh "$path ", $event || '', ". $args\n";
			close $fh;
		}
	}
}
