# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# face.pm - what the face tests share: TAP, and running programs with and
# without the malloc face.
#
# A face test runs the same program twice on the same input, once as it is
# and once with libnpool-malloc.so preloaded, and compares what it says.
# That alone proves nothing if the face was never used, so every program
# runs with the dynamic linker's log of bindings (LD_DEBUG=bindings, one
# file a process), and malloc_homes() reads from it whose malloc each
# process was given.  Without the face the same log names another library,
# so the check can fail.
#
# Environment:
#	abs_top_builddir	the build tree (default: the current folder if
#				it is one, else build/ beside t/)
#	NPOOL_FACE		another library to preload, for trying the tests
#	NPOOL_TEST_LEVEL	quick (default): a missing program is a skip;
#				check, all: it is a failure
#
# Only modules of Debian's perl-base are used.  Whatever start() began is
# ended by its process group, also when a test dies or is interrupted.
package face;
use strict;
use warnings;
use Cwd qw(abs_path getcwd);
use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(WNOHANG);

our @EXPORT = qw(plan ok is skip diag tmpdir face face_dir source_dir
    build_dir missing needs start finish stop alive wait_for slurp spew run
    malloc_homes malloc_home_of on_face free_port);

$ENV{PATH} .= ':/usr/sbin:/sbin';
$ENV{LC_ALL} = 'C';
delete @ENV{qw(LD_PRELOAD LD_DEBUG LD_DEBUG_OUTPUT NPOOL_CONF)};
$| = 1;

my $source = abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{abs_top_builddir} // (-e 'config.status' ? getcwd() :
    "$source/build");
my $owner = $$;
my (%running, $tmp);
my ($planned, $count, $failed) = (0, 0, 0);

# ---- TAP ---------------------------------------------------------------

# plan(n): must come first.  A build without a face to test says so here.
sub plan
{
	($planned) = @_;
	my $face = face();

	if (!-e $face) {
		print "Bail out!  $face: not built yet; run make first\n";
		exit 1;
	}
	if (slurp($face) =~ /__([at]san)_init/) {
		print "1..0 # SKIP $1: its runtime must come first, so the ",
		    "face cannot be preloaded\n";
		$planned = 0;
		exit 0;
	}
	print "1..$planned\n";
}

sub diag
{
	print map { "# $_\n" } map { split /\n/ } @_;
}

# The prototypes: a match that fails must be false, not one argument less.
sub ok($$@)
{
	my ($good, $claim, @why) = @_;

	$count++;
	print $good ? '' : 'not ', "ok $count - $claim\n";
	$failed++ if !$good;
	diag(@why) if !$good;
	return $good;
}

# is(seen, wanted, claim): equal strings; prints where they part when not.
sub is($$$)
{
	my ($seen, $wanted, $claim) = @_;
	my @seen = split /\n/, $seen // '(undef)', -1;
	my @wanted = split /\n/, $wanted // '(undef)', -1;
	my $line = 0;

	return ok(1, $claim) if "@seen" eq "@wanted" && @seen == @wanted;
	$line++ while $line < @seen && $line < @wanted &&
	    $seen[$line] eq $wanted[$line];
	return ok(0, $claim, sprintf("first difference in line %d of %d/%d",
	    $line + 1, scalar @seen, scalar @wanted),
	    '  seen:   ' . substr($seen[$line] // '(end)', 0, 300),
	    '  wanted: ' . substr($wanted[$line] // '(end)', 0, 300));
}

sub skip
{
	my ($n, $why) = @_;

	for (1 .. $n) {
		$count++;
		print "ok $count # SKIP $why\n";
	}
}

# ---- what there is -----------------------------------------------------

sub face
{
	return abs_path($ENV{NPOOL_FACE}) // $ENV{NPOOL_FACE}
	    if $ENV{NPOOL_FACE};
	return "$build/lib/.libs/libnpool-malloc.so";
}

sub face_dir { return dirname(face()) }
sub source_dir { return $source }
sub build_dir { return $build }

sub missing
{
	my ($program) = @_;

	return !-x $program if $program =~ m{/};
	return !grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

# needs(n, program, package, ...): true when every program is there; else
# n claims are skipped, or failed where the level asks for the whole suite.
sub needs
{
	my ($n, %package) = @_;
	my @gone = grep { missing($_) } sort keys %package;

	return 1 if !@gone;
	my $why = join ', ', map { "$_ (Debian package $package{$_})" } @gone;
	if (($ENV{NPOOL_TEST_LEVEL} // 'quick') =~ /^(check|all)$/) {
		ok(0, "there is $why", "missing: $why") for 1 .. $n;
	} else {
		skip($n, "no $why");
	}
	return 0;
}

sub tmpdir
{
	$tmp //= tempdir('npool-face-XXXXXX', TMPDIR => 1);
	return $tmp;
}

sub slurp
{
	my ($path) = @_;

	open my $file, '<:raw', $path or return '';
	local $/;
	return <$file> // '';
}

sub spew
{
	my ($path, @text) = @_;

	open my $file, '>:raw', $path or die "$path: $!\n";
	print $file @text;
	close $file or die "$path: $!\n";
	return $path;
}

# ---- processes ---------------------------------------------------------

# Turn this (child) process into the program: face or not, bindings logged.
sub become
{
	my (%how) = @_;

	setpgrp;
	$SIG{PIPE} = 'DEFAULT';
	chdir $how{in} if $how{in};
	open STDIN, '<', $how{stdin} // '/dev/null' or POSIX::_exit(126);
	if ($how{out}) {
		open STDOUT, '>', $how{out} or POSIX::_exit(126);
		open STDERR, '>', $how{err} // "/dev/null"
		    or POSIX::_exit(126) if $how{err};
		open STDERR, '>&', \*STDOUT if !$how{err};
	}
	%ENV = (%ENV, %{ $how{env} // {} });
	if ($how{log}) {
		$ENV{LD_DEBUG} = 'bindings';
		$ENV{LD_DEBUG_OUTPUT} = $how{log};
	}
	if ($how{face}) {
		my $path = $ENV{LD_LIBRARY_PATH};

		$ENV{LD_PRELOAD} = face();
		$ENV{LD_LIBRARY_PATH} = face_dir() .
		    (defined $path ? ":$path" : '');
	}
	exec { $how{cmd}[0] } @{ $how{cmd} } or POSIX::_exit(127);
}

# start(cmd => [...], face => bool, log, in, out, err, stdin, env): a pid.
# log is the path before ".PID" of the linker's logs; out takes stderr too,
# unless err names another file.
sub start
{
	my (%how) = @_;
	my $pid = fork // die "fork: $!\n";

	become(%how) if !$pid;
	setpgrp $pid, $pid;
	$running{$pid} = 1;
	return $pid;
}

sub alive
{
	my ($pid) = @_;

	return 0 if !$running{$pid};
	return 1 if waitpid($pid, WNOHANG) == 0;
	delete $running{$pid};
	return 0;
}

# finish(pid, seconds): its wait status, or undef when it took longer.
sub finish
{
	my ($pid, $seconds) = @_;
	my $end = time + $seconds;

	return undef if !$running{$pid};
	while (waitpid($pid, WNOHANG) == 0) {
		return undef if time > $end;
		select undef, undef, undef, 0.01;
	}
	delete $running{$pid};
	kill 'KILL', -$pid;
	return $?;
}

# stop(pid, signal, seconds): wait status, or undef if it had to be killed.
sub stop
{
	my ($pid, $signal, $seconds) = @_;

	return undef if !$running{$pid};
	kill $signal // 'TERM', $pid;
	my $status = finish($pid, $seconds // 10);
	if (!defined $status) {
		kill 'KILL', -$pid;
		finish($pid, 10);
	}
	return $status;
}

# run(as start, seconds): exit code (128 + signal), "timeout" when killed.
sub run
{
	my (%how) = @_;
	my $pid = start(%how);
	my $status = finish($pid, $how{seconds} // 120);

	if (!defined $status) {
		stop($pid, 'KILL');
		return 'timeout';
	}
	return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}

# wait_for(seconds, sub): the first true value of sub, or its last one.
sub wait_for
{
	my ($seconds, $code) = @_;
	my $end = time + $seconds;
	my $value;

	until ($value = $code->()) {
		last if time > $end;
		select undef, undef, undef, 0.02;
	}
	return $value;
}

sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, ReuseAddr => 1,
	    LocalAddr => '127.0.0.1', LocalPort => 0)
	    or die "no free port on the loopback: $!\n";

	return $socket->sockport;
}

# ---- whose malloc ------------------------------------------------------

# The libraries that serve malloc to the process whose log this is. A program
# that takes malloc's address lends it a stub of its own: others are then
# bound to the program, which is bound to the library.
sub malloc_home_of
{
	my ($log) = @_;
	my $bound = qr/file (.+) \[0\] to (.+) \[0\]: normal symbol .malloc'/;
	my (%home, %lends);

	for (split /\n/, slurp($log)) {
		next if !/$bound/;
		$home{$2} = 1;
		$lends{$1} = 1 if $1 ne $2 && $1 !~ /\.so\b/;
	}
	return grep { !$lends{$_} } sort keys %home;
}

# malloc_homes(log): (processes that use malloc, the libraries they got).
sub malloc_homes
{
	my ($prefix) = @_;
	my ($processes, %home) = (0);

	for my $log (glob "$prefix.*") {
		my @home = malloc_home_of($log) or next;

		$processes++;
		$home{$_}++ for @home;
	}
	return ($processes, sort keys %home);
}

# on_face(log, claim): every process that wrote this log got the face's.
sub on_face($$)
{
	my ($prefix, $claim) = @_;
	my ($processes, @home) = malloc_homes($prefix);

	return ok($processes && "@home" eq face(), $claim,
	    "$processes processes, malloc from: @home", 'wanted: ' . face());
}

# ---- the end -----------------------------------------------------------

sub clean_up
{
	return if $$ != $owner;
	local $?;
	for my $pid (keys %running) {
		kill 'KILL', -$pid, $pid;
		waitpid $pid, 0;
	}
	%running = ();
	return if !$tmp;
	chdir '/';
	system 'rm', '-rf', $tmp;
	undef $tmp;
}

$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
$SIG{ALRM} = sub { print "Bail out!  took too long\n"; exit 1 };
$SIG{PIPE} = 'IGNORE';

END {
	if ($$ == $owner) {
		clean_up();
		diag("planned $planned, ran $count") if $planned != $count;
		$? ||= 1 if $failed || $planned != $count;
	}
}

1;
