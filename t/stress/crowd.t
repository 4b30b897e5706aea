#!/usr/bin/perl

# Very many requests that wait at once (CROWD, 10000): others are served
# meanwhile, all are answered when the data comes, and nothing is left of those
# who go away.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::Confluence;
use Time::HiRes qw/ time /;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t)->has('libtorrent');
my $n = $ENV{CROWD} || 10000;

my $limit = `bash -c 'ulimit -Hn'`;
plan(skip_all => "no $n descriptors") if $limit =~ /^\d+$/ && $limit < 2 * $n;

my $conf = $c->conf();

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;
worker_processes 2;
worker_rlimit_nofile ${\($n + 2000)};

events {
    worker_connections ${\($n + 1000)};
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    server {
        listen       127.0.0.1:8080 backlog=4096;
        server_name  localhost;

        client_header_timeout 300s;

        location / {
            confluence;
            confluence_wait_timeout 300s;
        }
    }
}

EOF

my $torrent = $c->torrent('a.bin', size => 3000000, piece => 262144);
my $other = $c->torrent('b.bin', size => 100000);
my $held = $c->seed_scripted($torrent, mode => 'hold');
my $seed = $c->seed_libtorrent($other);

$t->run()->plan(15);

my $there = $c->url($other, peers => [ $seed ]);
ok($c->fetch($there)->{body} eq $other->{whole}, 'cached');
like(http_get($c->url($torrent, peers => [ $held ], route => '/info')),
	qr/ 200 OK/, 'loaded');

my $url = $c->url($torrent, path => 'a.bin');
my $crowd = $c->spawn([ "$FindBin::Bin/../tools/crowd.py",
	'127.0.0.1:' . port(8080) ]);
my %before = count();

# torrents that nobody has, and pieces that do not come

for my $target ('/data?ih=' . '3' x 40 . '&path=x', $url) {
	my $what = $target eq $url ? 'for a piece' : 'for metadata';

	order("open $n $target");
	is(answers(), "open:$n", "wait $what");

	my $begin = time();
	ok($c->fetch($there)->{body} eq $other->{whole},
		"cached data meanwhile");
	like(http_get('/health'), qr/ 200 OK/, 'the engine answers');
	diag(sprintf '%s: both in %.3f s', $what, time() - $begin);

	my %waiting = count();
	diag("$what: $_ takes " . int(($waiting{$_}{rss} - $before{$_}{rss})
		* 1024 / $n) . ' bytes per request') for sort keys %waiting;

	order('leave');
	$begin = time();
	ok(eval {
		Test::Confluence::wait_for(sub { is_before() }, 60, 'gone')
	}, 'nothing is left');
	diag(sprintf '%s: gone in %.2f s', $what, time() - $begin);
}

# all at once

order("open $n $url\tRange: bytes=0-99");
is(answers(), "open:$n", 'wait for the answer');

my $begin = time();
print { $held->{in} } "give 0\n";

my $answers;
ok(eval {
	Test::Confluence::wait_for(sub {
		($answers = answers()) eq "206:$n open:0"
	}, 120, 'answers')
}, 'all are answered') or diag($answers);
diag(sprintf 'all answered in %.2f s', time() - $begin);

ok(eval { Test::Confluence::wait_for(sub { is_before() }, 60, 'gone') },
	'nothing is left');
ok(eval {
	Test::Confluence::wait_for(sub {
		http_get('/status') =~ /^Wanted Pieces: 0$/m
	}, 60, 'wanted')
}, 'nothing is wanted');

$t->stop();
unlike($t->read_file('error.log'), qr/\[crit\]/, 'nothing critical');

sub order {
	my ($command) = @_;

	print { $crowd->{in} } "$command\n";
	$crowd->wait_line(qr/^ok \Q$command\E$/, 120);
}

sub answers {
	print { $crowd->{in} } "answers\n";

	my ($answers) = $crowd->wait_line(qr/^answers /, 60)
		=~ /^answers (.*)/;

	return $answers;
}

# Descriptors and private memory, KiB, of the processes.

sub count {
	my %count;

	for my $pid ($c->processes(qr/worker|manager/)) {
		my ($rss) = Test::Confluence::slurp("/proc/$pid/status")
			=~ /^RssAnon:\s+(\d+)/m;
		my ($name) = Test::Confluence::slurp("/proc/$pid/cmdline")
			=~ /^nginx: (\w+)/;
		my @fds = grep { defined && /^socket:/ }
			map { readlink } glob("/proc/$pid/fd/*");

		$count{"$name $pid"} = { fds => scalar @fds, rss => $rss };
	}

	return %count;
}

sub is_before {
	my %now = count();

	return !grep { $now{$_}{fds} > $before{$_}{fds} + 4 } keys %now;
}
