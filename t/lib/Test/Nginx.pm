package Test::Nginx;

# Runs nginx for a test: a temporary directory with its files, ports that are
# free, background processes, simple requests, and checks of the error log.
#
# The interface is the one of the Test::Nginx that nginx's own tests use, so
# that a test runs with either.  Environment:
#
#	TEST_NGINX_BINARY	nginx to test, /usr/sbin/nginx by default
#	TEST_NGINX_MODULES	directory of its dynamic modules
#	TEST_NGINX_GLOBALS	added to the main level of configurations,
#	TEST_NGINX_GLOBALS_HTTP	to the http level,
#	TEST_NGINX_GLOBALS_STREAM	to the stream level
#	TEST_NGINX_VERBOSE	print requests and responses
#	TEST_NGINX_LEAVE	do not remove the directory
#	TEST_NGINX_CATLOG	print the error log at the end

use warnings;
use strict;

use base qw/ Exporter /;

our @EXPORT = qw/ http http_get http_head port log_in log_out /;
our @EXPORT_OK = qw/
	http_start http_end http_content http_gzip_request http_gzip_like
/;
our %EXPORT_TAGS = (gzip => [ qw/ http_gzip_request http_gzip_like / ]);

use File::Path qw/ rmtree /;
use File::Temp qw/ tempdir /;
use IO::Socket::INET;
use POSIX qw/ WNOHANG /;
use Scalar::Util qw/ weaken /;
use Socket qw/ CRLF /;
use Test::More qw//;
use Time::HiRes qw/ sleep time /;

my $binary = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
my $modules = $ENV{TEST_NGINX_MODULES} || '/usr/lib/nginx/modules';

my (%ports, @instances, $build);

# an interrupted test must still stop what it has started

for my $signal (qw/ INT TERM HUP /) {
	$SIG{$signal} = sub { exit(1) } unless $SIG{$signal};
}

$SIG{PIPE} = 'IGNORE';

sub new {
	my ($class) = @_;

	Test::More::BAIL_OUT("no nginx binary \"$binary\"") unless -x $binary;

	my $self = bless {
		pid => $$,
		dir => tempdir('nginx-test-XXXXXXXXXX', TMPDIR => 1),
		daemons => [],
		modules => [],
	}, $class;

	$self->{dir} =~ s{^/private}{};
	mkdir "$self->{dir}/logs";

	push @instances, $self;
	weaken($instances[-1]);

	return $self;
}

sub DESTROY {
	my ($self) = @_;

	$self->finish();
}

END {
	local $?;
	$_->finish() for grep { defined } @instances;
}

# Stops everything, makes the two last checks, removes the directory.

sub finish {
	my ($self) = @_;

	return if $self->{pid} != $$ || $self->{finished}++;

	local $?;

	$self->stop();
	$self->stop_daemons();

	my $log = -f "$self->{dir}/error.log" ? $self->read_file('error.log')
		: '';

	if (Test::More->builder->expected_tests()) {
		$self->check_log($log);
	}

	if ($ENV{TEST_NGINX_CATLOG}) {
		print map { "# $_\n" } split /\n/, $log;
	}

	if ($ENV{TEST_NGINX_LEAVE}) {
		Test::More::diag("directory left: $self->{dir}");
		return;
	}

	rmtree($self->{dir});
}

sub check_log {
	my ($self, $log) = @_;

	my $expected = $self->{expected_alerts};
	my @alerts = ((grep { !$expected || !/$expected/ }
		lines_with($log, '[alert]')), @{ $self->{late} || [] });
	my @errors = (lines_with($log, 'Sanitizer'),
		lines_with($log, 'runtime error:'), $self->valgrind_errors());
	my $builder = Test::More->builder();

	$builder->is_eq(join("\n", @alerts), '', 'no alerts');

	$builder->is_eq(join("\n", @errors), '', 'no sanitizer errors');
}

# Valgrind keeps the standard error that nginx begins with, and says nothing there
# when all is well.

sub valgrind_errors {
	my ($self) = @_;

	return -f "$self->{dir}/stderr"
		? grep { /^==\d+== / } split /\n/, $self->read_file('stderr') : ();
}

# Logs are large: a regular expression looks at each line many times.

sub lines_with {
	my ($log, $text) = @_;

	my ($at, @lines) = (0);

	while (($at = index($log, $text, $at)) >= 0) {
		my $start = rindex($log, "\n", $at) + 1;
		my $end = index($log, "\n", $at);

		$end = length $log if $end < 0;
		push @lines, substr($log, $start, $end - $start);
		$at = $end;
	}

	return @lines;
}

# Alerts that the test brings about.

sub expect_alerts {
	my ($self, $re) = @_;

	$self->{expected_alerts} = $re;

	return $self;
}

# What nginx can do.

my %optional = map { $_ => "http_${_}_module" } qw/
	addition auth_request dav degradation flv geoip gunzip gzip_static
	image_filter mp4 perl random_index realip secure_link slice stub_status
	sub xslt
/;

$optional{$_} = "${_}_module" for qw/
	http_ssl http_v2 http_v3 mail_ssl stream_ssl stream_ssl_preread
	stream_realip stream_geoip
/;

$optional{$_} = $_ for qw/ mail stream threads debug file-aio /;

sub build {
	$build = `$binary -V 2>&1` unless defined $build;

	return $build;
}

sub has {
	my ($self, @features) = @_;

	for my $feature (@features) {
		Test::More::plan(skip_all => "no $feature available")
			unless $self->has_feature($feature);
	}

	return $self;
}

sub has_module {
	my ($self, $feature) = @_;

	my $name = $optional{$feature};

	if (!defined $name) {
		# what nginx has unless it was told otherwise
		return build() !~ /--without-(?:http_)?\Q$feature\E(?:_module)?\b/;
	}

	return 1 if build() =~ /--with-\Q$name\E(?![=\w-])/;
	return 0 if build() !~ /--with-\Q$name\E=dynamic/;

	my $file = "$modules/ngx_$name" . ($name =~ /module$/ ? '' : '_module')
		. '.so';

	return 0 unless -f $file;

	push @{ $self->{modules} }, $file
		unless grep { $_ eq $file } @{ $self->{modules} };

	return 1;
}

sub has_feature {
	my ($self, $feature) = @_;

	return perl_has($feature)
		if $feature =~ /^(?:socket_ssl.*|cryptx|unix|symlink|udp)$/;

	if ($feature =~ /^(openssl|libressl):([0-9.]+)$/i) {
		return 0 unless build() =~ /(?:with|ssl library:) $1 ([0-9.]+)/i;
		return version_cmp($1, $2) >= 0;
	}

	return $self->has_module($feature);
}

sub perl_has {
	my ($feature) = @_;

	if ($feature eq 'socket_ssl_sni') {
		return eval {
			require IO::Socket::SSL;
			IO::Socket::SSL->can_client_sni()
		} ? 1 : 0;
	}

	if ($feature eq 'socket_ssl_alpn') {
		return eval {
			require IO::Socket::SSL;
			IO::Socket::SSL->can_alpn()
		} ? 1 : 0;
	}

	return eval { require IO::Socket::SSL } ? 1 : 0
		if $feature =~ /^socket_ssl/;
	return eval { require Crypt::Misc } ? 1 : 0 if $feature eq 'cryptx';
	return eval { require IO::Socket::UNIX } ? 1 : 0 if $feature eq 'unix';
	return eval { symlink('', ''); 1 } ? 1 : 0 if $feature eq 'symlink';

	return 1;
}

sub version_cmp {
	my ($first, $second) = @_;

	my @first = split /\./, $first;
	my @second = split /\./, $second;

	while (@first || @second) {
		my $cmp = (shift(@first) || 0) <=> (shift(@second) || 0);
		return $cmp if $cmp;
	}

	return 0;
}

sub has_version {
	my ($self, $version) = @_;

	return 0 unless build() =~ m{nginx/([0-9.]+)};
	return version_cmp($1, $version) >= 0;
}

sub has_daemon {
	my ($self, $name) = @_;

	for my $dir (split /:/, $ENV{PATH}) {
		return $self if -x "$dir/$name";
	}

	Test::More::plan(skip_all => "$name not found");
}

sub plan {
	my ($self, $tests) = @_;

	Test::More::plan(tests => $tests + 2);

	return $self;
}

# Files of the test's directory.

sub testdir {
	my ($self) = @_;

	return $self->{dir};
}

sub write_file {
	my ($self, $name, $content) = @_;

	open my $fh, '>', "$self->{dir}/$name"
		or die "Can't create $name: $!\n";
	binmode $fh;
	print $fh $content;
	close $fh or die "Can't write $name: $!\n";

	return $self;
}

sub write_file_expand {
	my ($self, $name, $content) = @_;

	$content =~ s/%%TEST_GLOBALS%%/$self->globals()/ge;
	$content =~ s/%%TEST_GLOBALS_DSO%%//g;
	$content =~ s/%%TEST_GLOBALS_HTTP%%/$self->globals_http()/ge;
	$content =~ s/%%TEST_GLOBALS_STREAM%%/globals_stream()/ge;
	$content =~ s/%%TESTDIR%%/$self->{dir}/g;
	$content =~ s/127\.0\.0\.1:(8\d\d\d)/'127.0.0.1:' . port($1)/ge;
	$content =~ s/%%PORT_(\d+)%%/port($1)/ge;
	$content =~ s/%%PORT_(\d+)_UDP%%/port($1, udp => 1)/ge;

	return $self->write_file($name, $content);
}

sub read_file {
	my ($self, $name) = @_;

	open my $fh, '<', "$self->{dir}/$name"
		or die "Can't open $name: $!\n";
	binmode $fh;
	local $/;

	my $content = <$fh>;

	return defined $content ? $content : '';
}

sub globals {
	my ($self) = @_;

	my $extra = $ENV{TEST_NGINX_GLOBALS} || '';
	my $globals = "pid $self->{dir}/nginx.pid;\n"
		. "error_log $self->{dir}/error.log debug;\n";

	# the directory is closed to other users
	$globals .= "user root;\n" if $> == 0 && $extra !~ /\buser\s/;
	$globals .= "load_module $_;\n" for @{ $self->{modules} };

	return "$globals$extra\n";
}

sub globals_http {
	my ($self) = @_;

	my $globals = "root $self->{dir};\n"
		. "access_log $self->{dir}/access.log;\n"
		. "client_body_temp_path $self->{dir}/client_body_temp;\n";

	for my $name (qw/ fastcgi proxy uwsgi scgi /) {
		$globals .= "${name}_temp_path $self->{dir}/${name}_temp;\n"
			if $self->has_module($name);
	}

	return $globals . ($ENV{TEST_NGINX_GLOBALS_HTTP} || '') . "\n";
}

sub globals_stream {
	return ($ENV{TEST_NGINX_GLOBALS_STREAM} || '') . "\n";
}

# The life of nginx.  It gets a process group of its own, so that whatever is
# left of it in the end can be found.

sub start {
	my ($self, $conf) = @_;

	if (defined $conf) {
		$conf = $self->read_file($conf) if $conf !~ /\n/;
		$self->write_file_expand('nginx.conf', $conf);
	}

	my $pid = fork();
	die "Can't fork: $!\n" unless defined $pid;

	if ($pid == 0) {
		setpgrp(0, 0);
		open STDERR, '>', "$self->{dir}/stderr"
			unless $ENV{TEST_NGINX_VERBOSE};

		exec(@{ $self->{prefix} || [] }, $binary, '-p',
			"$self->{dir}/", '-c', 'nginx.conf', '-e', 'error.log') or POSIX::_exit(127);
	}

	$self->{nginx} = $pid;
	$self->{group} = $pid;

	if ($self->waitforfile("$self->{dir}/nginx.pid", $pid)) {
		$self->{started} = 1;
		return 1;
	}

	$self->kill_group();

	return 0;
}

sub run {
	my ($self, $conf) = @_;

	if (!$self->start($conf)) {
		if (-f "$self->{dir}/error.log") {
			Test::More::diag($_) for grep { !/\[debug\]/ }
				split /\n/, $self->read_file('error.log');
		}

		die "Can't start nginx\n";
	}

	return $self;
}

sub try_run {
	my ($self, $message) = @_;

	if (!$self->start()) {
		if ($ENV{TEST_NGINX_VERBOSE} && -f "$self->{dir}/error.log") {
			print map { "# $_\n" }
				split /\n/, $self->read_file('error.log');
		}

		Test::More::plan(skip_all => $message);
	}

	return $self;
}

sub reload {
	my ($self) = @_;

	kill 'HUP', $self->master();

	return $self;
}

sub master {
	my ($self) = @_;

	my $pid = -f "$self->{dir}/nginx.pid" ? $self->read_file('nginx.pid')
		: '';

	return $pid =~ /^(\d+)/ ? $1 : $self->{nginx};
}

sub stop {
	my ($self) = @_;

	return $self unless $self->{started};

	my $pid = $self->master();

	kill 'QUIT', $pid;

	if (!$self->wait_exit($pid, 30)) {
		push @{ $self->{late} }, 'nginx did not stop in time';
		kill 'TERM', $pid;
		$self->wait_exit($pid, 5);
	}

	$self->{started} = 0;
	$self->kill_group();

	return $self;
}

# From the next start on nginx is run by a command, which execs its arguments.

sub run_by {
	my ($self, @command) = @_;

	$self->{prefix} = \@command;

	return $self;
}

# Waits until a process is gone, ours or not.

sub wait_exit {
	my ($self, $pid, $seconds) = @_;

	my $end = time() + $seconds;

	while (time() < $end) {
		return 1 if waitpid($pid, WNOHANG) == $pid;
		return 1 unless kill 0, $pid;
		sleep(0.01);
	}

	return 0;
}

sub kill_group {
	my ($self) = @_;

	my $group = delete $self->{group};
	return unless $group;

	kill 'KILL', -$group;
	waitpid($group, 0);

	my $end = time() + 5;
	sleep(0.01) while kill(0, -$group) && time() < $end;
}

sub dump_config {
	my ($self) = @_;

	my $args = "-p $self->{dir}/ -c nginx.conf -e error.log";

	return scalar `$binary -T $args 2>/dev/null`;
}

# Other processes.

sub run_daemon {
	my ($self, $code, @args) = @_;

	my $pid = fork();
	die "Can't fork: $!\n" unless defined $pid;

	if ($pid == 0) {
		if (ref $code eq 'CODE') {
			$SIG{$_} = 'DEFAULT' for qw/ INT TERM HUP /;
			$code->(@args);
			exit(0);
		}

		exec($code, @args) or POSIX::_exit(127);
	}

	push @{ $self->{daemons} }, $pid;

	return $self;
}

sub stop_daemons {
	my ($self) = @_;

	my @pids = splice @{ $self->{daemons} };

	kill 'TERM', @pids if @pids;

	for my $pid (@pids) {
		next if $self->wait_exit($pid, 10);

		kill 'KILL', $pid;
		waitpid($pid, 0);
	}

	return $self;
}

sub waitforfile {
	my ($self, $file, $pid) = @_;

	my $end = time() + 5;

	while (time() < $end) {
		return 1 if -s $file;
		return undef if $pid && waitpid($pid, WNOHANG) != 0;
		sleep(0.01);
	}

	return undef;
}

sub waitforsocket {
	my ($self, $address) = @_;

	my $end = time() + 5;

	while (time() < $end) {
		return 1 if IO::Socket::INET->new(Proto => 'tcp',
			PeerAddr => $address);
		sleep(0.01);
	}

	return undef;
}

# Ports.  A test that has a TCP port holds the UDP port of that number and the
# other way round, so tests that run side by side do not take the same.

sub port {
	my ($num, %opts) = @_;

	my $key = $num . ($opts{udp} ? 'udp' : '');

	$ports{$key} = take_port($num, %opts) unless $ports{$key};

	return $opts{socket} ? $ports{$key}{socket} : $ports{$key}{port};
}

sub take_port {
	my ($num, %opts) = @_;

	my @protocols = $opts{udp} ? qw/ udp tcp / : qw/ tcp udp /;

	for my $try (0 .. 50) {
		my $port = $try ? $num - $num % 500 + int(rand(500)) : $num;

		my $lock = bind_port($protocols[1], $port) or next;
		my $socket = bind_port($protocols[0], $port) or next;

		return { port => $port, lock => $lock,
			$opts{socket} ? (socket => $socket) : () };
	}

	die "Can't find a free port near $num\n";
}

sub bind_port {
	my ($protocol, $port) = @_;

	return IO::Socket::INET->new(
		Proto => $protocol,
		LocalAddr => "127.0.0.1:$port",
		$protocol eq 'tcp' ? (Listen => 5, ReuseAddr => 1) : (),
	);
}

# Requests.

sub log_out {
	log_lines('>>', @_);
}

sub log_in {
	log_lines('<<', @_);
}

sub log_lines {
	my ($prefix, $text) = @_;

	return unless $ENV{TEST_NGINX_VERBOSE} && defined $text;

	$text =~ s/([^\x20-\x7e\n])/sprintf('\\x%02x', ord($1))/ge;
	Test::More::note("$prefix $_") for split /\n/, $text;
}

sub http_get($;%) {
	my ($url, %o) = @_;

	return http("GET $url HTTP/1.0" . CRLF . 'Host: localhost' . CRLF
		. CRLF, %o);
}

sub http_head($;%) {
	my ($url, %o) = @_;

	return http("HEAD $url HTTP/1.0" . CRLF . 'Host: localhost' . CRLF
		. CRLF, %o);
}

sub http($;%) {
	my ($request, %o) = @_;

	my $s = http_start($request, %o);

	return $s if $o{start} || !$s;

	return http_end($s, %o);
}

# Runs code with the time limit of a request; undef if it was not enough.

sub in_time {
	my ($code) = @_;

	my @result = eval {
		local $SIG{ALRM} = sub { die "timeout\n" };
		alarm(8);
		my $result = $code->();
		alarm(0);
		$result;
	};

	alarm(0);

	if ($@) {
		log_in("(no answer: $@)");
		return undef;
	}

	return $result[0];
}

sub http_start($;%) {
	my ($request, %o) = @_;

	return in_time(sub {
		my $s = $o{socket} || http_connect(%o);

		log_out($request);
		$s->print($request);
		$s->flush();

		sleep($o{sleep}) if $o{sleep};
		return '' if $o{aborted};

		if (defined $o{body}) {
			log_out($o{body});
			$s->print($o{body});
			$s->flush();
		}

		return $s;
	});
}

sub http_connect {
	my (%o) = @_;

	my $address = $o{PeerAddr}
		|| '127.0.0.1:' . port($o{SSL} ? 8443 : 8080);

	my $s = IO::Socket::INET->new(Proto => 'tcp', PeerAddr => $address)
		or die "Can't connect to $address: $!\n";

	return $s unless $o{SSL};

	require IO::Socket::SSL;

	return IO::Socket::SSL->start_SSL($s,
		SSL_verify_mode => IO::Socket::SSL::SSL_VERIFY_NONE(),
		map { $_ => $o{$_} } grep { /^SSL_/ } keys %o
	) || die "Can't start TLS\n";
}

sub http_end($;%) {
	my ($s, %o) = @_;

	my $reply = in_time(sub {
		local $/;
		return scalar $s->getline();
	});

	log_in($reply);

	return $reply;
}

sub http_content {
	my ($reply) = @_;

	return '' unless defined $reply;
	return $reply unless $reply =~ /^(.*?)\x0d?\x0a\x0d?\x0a(.*)$/s;

	my ($headers, $body) = ($1, $2);

	return $body unless $headers =~ /^Transfer-Encoding:\s*chunked/mi;

	my $content = '';

	while ($body =~ /\G([0-9a-f]+)[^\x0a]*\x0a/gci) {
		my $len = hex($1);
		return $content if $len == 0;

		$content .= substr($body, pos($body), $len);
		last if length($body) < pos($body) + $len;

		pos($body) += $len;
		$body =~ /\G\x0d?\x0a/gc or last;
	}

	return $content . '[no-last-chunk]';
}

sub http_gzip_request {
	my ($url, %o) = @_;

	return http("GET $url HTTP/1.1" . CRLF . 'Host: localhost' . CRLF
		. 'Connection: close' . CRLF . 'Accept-Encoding: gzip' . CRLF
		. CRLF, %o);
}

sub http_gzip_like {
	my ($reply, $re, $name) = @_;

	require IO::Uncompress::Gunzip;

	my $in = http_content($reply);
	my $out;

	IO::Uncompress::Gunzip::gunzip(\$in => \$out);

	Test::More->builder->like($out, $re, $name);
}

1;
