#!/usr/bin/perl

# An upload whose pieces are longer than a segment usually is: more than 8 GiB.

use warnings;
use strict;

use FindBin;
use Digest::SHA qw/ sha1_hex /;
use Test::More;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx qw/ :DEFAULT http_content /;
use Test::Confluence;

select STDERR; $| = 1;
select STDOUT; $| = 1;

my $t = Test::Nginx->new()->has(qw/http/);
my $c = Test::Confluence->new($t);

my $mb = 1024 * 1024;
my $size = 8200 * $mb + 12345;

my ($free) = (split ' ', (`df -Pm ${\ $t->testdir() }`)[1])[3];
plan(skip_all => 'no 20 GB of disk') if $free < 20000;

my $conf = $c->conf();

$t->write_file_expand('nginx.conf', <<"EOF");

%%TEST_GLOBALS%%

daemon off;

events {
}

http {
    %%TEST_GLOBALS_HTTP%%

$conf

    client_max_body_size  10g;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        location / {
            confluence;
            confluence_wait_timeout 600s;
        }
    }
}

EOF

# bytes here and there, some at the borders of pieces and segments; zeros between

my @at = (0, 4 * $mb - 500, 8 * $mb - 500, 12 * $mb - 500, 4000 * $mb,
	8192 * $mb - 500, $size - 1000);
my $file = $t->testdir() . '/large.bin';

open my $fh, '>', $file or die "Can't write $file: $!\n";
truncate $fh, $size or die "Can't make $file longer: $!\n";

for my $at (@at) {
	sysseek($fh, $at, 0);
	syswrite($fh, $c->bytes(1000, $at));
}

close $fh;

$t->run()->plan(5 + @at);

my $r = $c->fetch({ url => '/upload', timeout => 900,
	args => [ '-F', "files=\@$file;filename=large.bin", '-F', 'name=large' ] });

is($r->{status}, 200, 'taken') or diag($r->{body});
diag(sprintf '%d MiB/s', $size / $mb / $r->{time});

like($r->{body}, qr/12:piece lengthi${\ (8 * $mb)}e/, 'pieces of 8 MiB');

# the pieces are what the info ends with

my ($info, $n) = $r->{body} =~ /4:info(d.*?6:pieces(\d+):)/s;
my $ih = sha1_hex($info . substr($r->{body}, $+[0], $n + 1));

for my $at (@at) {
	my $begin = $at < 1000 ? 0 : $at - 1000;
	my $end = $at + 2000 < $size ? $at + 2000 : $size;
	my $r = $c->fetch({ url => "/data?ih=$ih&path=large.bin",
		args => [ '-r', "$begin-" . ($end - 1) ] });

	is($r->{body}, "\0" x ($at - $begin) . $c->bytes(1000, $at)
		. "\0" x ($end - $at - 1000), "bytes at $at");
}

is(system("curl -sS 'http://127.0.0.1:${\ port(8080) }/data?ih=$ih&path=large.bin'"
	. " | cmp - $file"), 0, 'every byte');
is_deeply([ glob($t->testdir() . '/cache/upload/*') ], [], 'nothing is left over');
like(http_get('/health'), qr/ 200 OK/, 'healthy');
