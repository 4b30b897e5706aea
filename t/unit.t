#!/usr/bin/perl

# Tests of parts of the engine on their own, written in C: t/unit/*.c.

###############################################################################

use warnings;
use strict;

use Test::More;

use File::Basename qw/ basename dirname /;

###############################################################################

my $root = dirname(__FILE__) . '/..';

plan(skip_all => 'no make') unless grep { -x "$_/make" } split /:/, $ENV{PATH};

my $out = `make -s -C $root unit 2>&1`;
is($?, 0, 'units built') or diag($out);

for my $source (glob "$root/t/unit/*.c") {
	my $name = basename($source, '.c');

	subtest $name => sub {
		open my $h, '-|', "$root/build/unit/$name"
			or die "Can't run $name: $!\n";

		my ($n, $plan) = (0, -1);

		while (my $line = <$h>) {
			if ($line =~ /^(not )?ok \d+ - (.*)$/) {
				ok(!$1, $2);
				$n++;
			}

			$plan = $1 if $line =~ /^1\.\.(\d+)$/;
		}

		close $h;

		is($n, $plan, 'ran to its end');
	};
}

done_testing();

###############################################################################
