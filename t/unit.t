#!/usr/bin/perl

# Tests of parts of the engine on their own, written in C: t/unit/*.c; and
# inputs that the fuzzers of t/fuzz began with and that they have found, which
# is t/fuzz/seeds.  t/stress/fuzz.t looks for more.

###############################################################################

use warnings;
use strict;

use Test::More;

use File::Basename qw/ basename dirname /;

###############################################################################

my $root = dirname(__FILE__) . '/..';
my $build = $ENV{BUILD} || "$root/build";

plan(skip_all => 'no make') unless grep { -x "$_/make" } split /:/, $ENV{PATH};

# a finding of a sanitizer must not pass

$ENV{UBSAN_OPTIONS} = 'halt_on_error=1:print_stacktrace=1';

# guard.c looks at what a process dies of

$ENV{ASAN_OPTIONS} = 'handle_sigbus=0:handle_segv=0';

my $out = `make -s -C $root unit replay 2>&1`;
is($?, 0, 'units built') or diag($out);

for my $source (glob "$root/t/unit/*.c") {
	my $name = basename($source, '.c');

	subtest $name => sub {
		open my $h, '-|', "$build/unit/$name"
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
		is($?, 0, 'no error');
	};
}

for my $source (glob "$root/t/fuzz/*.c") {
	my $name = basename($source, '.c');

	next if $name eq 'replay';

	my @seeds = glob "$root/t/fuzz/seeds/$name/*";
	my @lines = `$build/replay/$name @seeds 2>&1`;

	is($?, 0, "seeds of $name, ran to its end") or diag(@lines);
	is(scalar(grep { -e } map { chomp; $_ } @lines), scalar @seeds,
		"seeds of $name, all of them");
}

done_testing();

###############################################################################
