package Test::Confluence::Streams;

# Many HTTP clients at once that check every byte; see t/tools/streams.py, which
# does the work.  Test::Confluence::streams() makes one.

use warnings;
use strict;

use base qw/ Test::Confluence::Process /;

use JSON::PP qw/ decode_json encode_json /;

# spec: as streams.py wants it; file: where it may be written

sub new {
	my ($class, $tool, $file, $spec) = @_;

	open my $fh, '>', $file or die "Can't create $file: $!\n";
	print $fh encode_json($spec);
	close $fh or die "Can't write $file: $!\n";

	return $class->SUPER::new([ $tool, $file ]);
}

# The report so far.

sub status {
	my ($self) = @_;

	print { $self->{in} } "status\n";

	return decode_json($self->wait_line(qr/^\{/, 30));
}

# Waits until each of the clients has got something more since a report; dies
# when one has not in time.

sub wait_progress {
	my ($self, $before, $seconds) = @_;

	my $end = Time::HiRes::time() + ($seconds || 60);

	while (1) {
		my $now = $self->status();
		my @stuck = grep {
			$now->{clients}[$_]{bytes} <= $before->{clients}[$_]{bytes}
				&& $now->{clients}[$_]{running}
		} 0 .. $#{ $now->{clients} };

		return $now unless @stuck;

		die "clients @stuck get nothing\n"
			if Time::HiRes::time() > $end;
		Time::HiRes::sleep(0.1);
	}
}

# Lets the clients end what they have begun.

sub finish {
	my ($self, $seconds) = @_;

	print { $self->{in} } "stop\n";

	return $self->report($seconds);
}

# The report when all clients have ended.

sub report {
	my ($self, $seconds) = @_;

	my $line = $self->wait_line(qr/^\{/, $seconds || 120);

	$self->wait();

	return decode_json($line);
}

# One line for a person.

sub summary {
	my ($report) = @_;

	return join ', ', (map { "$_ $report->{$_}" }
		qw/ complete cut wrong status refused left bytes /),
		map { sprintf '%s %.3fs', $_, $report->{$_} }
		qw/ stall first_p99 first /;
}

1;
