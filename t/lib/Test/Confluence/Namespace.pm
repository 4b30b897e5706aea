package Test::Confluence::Namespace;

# Runs the test that uses it in a network namespace of its own, with addresses
# 10.99.N.1, N from 1 to 20, on its loopback interface: for what libtorrent
# does not do on 127.0.0.0/8.  The test is skipped if that is not allowed.

use warnings;
use strict;

use Test::More;

sub import {
	if ($ENV{TEST_CONFLUENCE_NAMESPACE}) {
		system('ip link set lo up && ip route add 224.0.0.0/4 dev lo && '
			. join(' && ', map { "ip addr add 10.99.$_.1/16 dev lo" }
				1 .. 20)) == 0
			or die "Can't set up the network\n";
		return;
	}

	my @unshare = ('unshare', $> == 0 ? '-n' : '-rn');

	system("@unshare ip link set lo up 2>/dev/null") == 0
		or plan(skip_all => 'no network namespaces');

	# a user is root in it
	$ENV{TEST_NGINX_GLOBALS} = "user root;\n"
		. ($ENV{TEST_NGINX_GLOBALS} || '') if $> != 0;
	$ENV{TEST_CONFLUENCE_NAMESPACE} = 1;

	exec @unshare, $^X, (map { "-I$_" } @INC), $0, @ARGV
		or die "Can't run unshare: $!\n";
}

1;
