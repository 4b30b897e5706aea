#!/usr/bin/perl

# Fuzzers, a minute each (FUZZ_SECONDS): what users, other people's files and
# the other end of the control socket may say.  An input that breaks something
# is left in build/clang/fuzz; what was mended belongs to t/fuzz/seeds.

use warnings;
use strict;

use Test::More;

use File::Basename qw/ basename dirname /;
use File::Path qw/ mkpath /;

my $root = dirname(__FILE__) . '/../..';
my $build = $ENV{BUILD} || "$root/build";
my $seconds = $ENV{FUZZ_SECONDS} || 60;

plan(skip_all => 'no clang')
	unless grep { -x "$_/clang++" } split /:/, $ENV{PATH};

my $out = `make -s -C $root fuzz 2>&1`;
is($?, 0, 'fuzzers built') or diag($out);

for my $source (glob "$root/t/fuzz/*.c") {
	my $name = basename($source, '.c');

	next if $name eq 'replay';

	my $dir = "$build/clang/fuzz";
	my $corpus = "$dir/corpus/$name";

	mkpath($corpus);

	my @lines = `$dir/$name -max_total_time=$seconds -timeout=30 -max_len=8192 -artifact_prefix=$dir/$name- $corpus $root/t/fuzz/seeds/$name 2>&1`;

	is($?, 0, $name) or diag(@lines);
	diag("$name: $1") if "@lines" =~ /^\s*Done (\d+ runs)/m;
}

done_testing();
