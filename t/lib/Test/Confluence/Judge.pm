package Test::Confluence::Judge;

# Cases of t/conformance/run, as tests.
#
#	my @cases = judge($url, '--grace', 2, '69', 'I10');
#
#	plan(tests => scalar @cases);
#	verdict($_) for @cases;

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT = qw/ judge verdict /;

use Cwd qw/ abs_path /;
use File::Basename qw/ dirname /;
use Test::More qw//;

my $run = dirname(abs_path(__FILE__)) . '/../../../conformance/run';

# What was found: { number, name, verdict, text } of each case.  One that is
# named and skipped is a mistake of who named it.

sub judge {
	my (@arguments) = @_;

	my ($over, @cases);
	my $named = grep { /^I?\d+[a-z]?$/ } @arguments[1 .. $#arguments];

	open my $fh, '-|', $run, @arguments or die "Can't run $run: $!\n";

	while (<$fh>) {
		# a summary follows
		$over ||= /^$/;
		next if $over;

		if (/^(\S+) +(\S.*?) +(ref|improved|FAIL|skip)(?:$|: )/) {
			push @cases, { number => $1, name => "$1 $2", text => '',
				verdict => $3 eq 'skip' && $named ? 'FAIL' : $3 };
		}

		$cases[-1]{text} .= $_ if @cases;
	}

	close $fh;

	return @cases;
}

# todo: why the case does not hold yet.

sub verdict {
	my ($case, $todo) = @_;

	SKIP: {
		Test::More::skip($case->{text} =~ s/\n.*//sr, 1)
			if $case->{verdict} eq 'skip';

		TODO: {
			local our $TODO = $todo if $todo;

			Test::More::isnt($case->{verdict}, 'FAIL', $case->{name})
				or Test::More::diag($case->{text});
		}
	}
}

1;
