#!/usr/bin/perl

# The control socket is for the user that nginx's workers run as, and root: the
# directory is closed to others, and where it is not, they are sent away.

use warnings;
use strict;

use FindBin;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use IO::Select;
use IO::Socket::UNIX;
use POSIX qw/ setuid setgid _exit /;
use Socket qw/ SOCK_SEQPACKET /;

use Test::Nginx;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

plan(skip_all => 'must be root') if $> != 0;

my $nobody = 65534;
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

$t->run()->plan(6);

my $dir = $t->testdir();
my $socket = "$dir/cache/engine.sock";

Test::Confluence::wait_for(sub { -S $socket }, 10, 'engine');
chmod(0711, $dir);

is(connected($nobody), 'not found', 'the directory is closed');

# as if somebody had opened it

chmod(0711, "$dir/cache");
chmod(0777, $socket);

is(connected($nobody), 'closed', 'another user is sent away');
ok(eval { Test::Confluence::wait_for(sub {
	$t->read_file('error.log') =~ /\[warn\].* connection of another user/
}, 10) }, 'which is logged');
is(connected(0), 'open', 'root is not');
like(http_get('/health'), qr/ 200 OK/, 'healthy');

# nor does that cost anything

my ($engine) = $c->processes(qr/^cache manager/);
my $n = () = glob("/proc/$engine/fd/*");

connected($nobody) for 1 .. 20;
cmp_ok(scalar(() = glob("/proc/$engine/fd/*")), '<=', $n + 1,
	'no descriptor is left');

# What a user's connection comes to.

sub connected {
	my ($uid) = @_;

	my $pid = open(my $h, '-|') // die "Can't fork: $!\n";

	if ($pid == 0) {
		setgid($uid);
		setuid($uid);

		my $s = IO::Socket::UNIX->new(Type => SOCK_SEQPACKET, Peer => $socket);

		print !$s ? 'not found'
			: !IO::Select->new($s)->can_read(1) ? 'open'
			: sysread($s, my $buf, 1) ? 'open' : 'closed';
		STDOUT->flush();
		_exit(0);
	}

	my $said = <$h>;
	close $h;

	return $said;
}
