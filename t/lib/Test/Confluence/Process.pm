package Test::Confluence::Process;

# A process of a test: its output is collected, it is stopped with its object.

use warnings;
use strict;

use File::Path qw/ rmtree /;
use IO::Handle;
use IPC::Open3;
use POSIX qw/ WNOHANG /;
use Time::HiRes qw/ sleep time /;

sub new {
	my ($class, $command) = @_;

	my ($in, $out);
	my $pid = open3($in, $out, undef, @$command);

	$in->autoflush(1);
	$out->blocking(0);

	return bless {
		owner => $$,
		pid => $pid,
		name => $command->[0],
		in => $in,
		out => $out,
		text => '',
		seen => 0,
	}, $class;
}

sub DESTROY {
	my ($self) = @_;

	$self->stop();
}

# All that it has printed so far.

sub output {
	my ($self) = @_;

	while (sysread($self->{out}, my $buf, 65536)) {
		$self->{text} .= $buf;
	}

	return $self->{text};
}

# Waits for a line that was not waited for before, and returns it; dies when
# it does not come in time or the process ends.

sub wait_line {
	my ($self, $re, $seconds) = @_;

	my $end = time() + ($seconds || 10);

	while (1) {
		my $ended = $self->ended();
		my $text = substr($self->output(), $self->{seen});

		while ($text =~ /\G(.*)\n/gc) {
			my $line = $1;

			if ($line =~ $re) {
				$self->{seen} += pos($text);
				return $line;
			}
		}

		die "$self->{name} has ended: $self->{text}\n" if $ended;
		die "$self->{name} did not print $re: $self->{text}\n"
			if time() > $end;

		sleep(0.01);
	}
}

# Gives a command to a scripted peer and waits until it was taken.

sub tell {
	my ($self, $command) = @_;

	print { $self->{in} } "$command\n";
	$self->wait_line(qr/^ok \Q$command\E$/);

	return $self;
}

sub ended {
	my ($self) = @_;

	return 1 if $self->{ended};

	if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
		$self->{status} = $?;
		$self->{ended} = 1;
	}

	return $self->{ended};
}

# Waits for its end; the wait status.

sub wait {
	my ($self) = @_;

	until ($self->ended()) {
		$self->output();
		sleep(0.005);
	}

	$self->output();

	return $self->{status};
}

sub stop {
	my ($self) = @_;

	return if $self->{owner} != $$;

	local $?;

	if (!$self->ended()) {
		kill 'TERM', $self->{pid};

		my $end = time() + 5;
		sleep(0.01) while !$self->ended() && time() < $end;

		if (!$self->ended()) {
			kill 'KILL', $self->{pid};
			waitpid($self->{pid}, 0);
			$self->{ended} = 1;
		}
	}

	rmtree(delete $self->{rmdir}) if $self->{rmdir};
}

1;
