# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# What t/golden.t and t/judge.t share: finding npool-trace, running it on a
# trace, and comparing what it printed with what Netty printed.  Perl's base
# modules only.
#
# npool-trace is $NPOOL_TRACE, else tools/npool-trace of the build tree, which
# is $top_builddir, else build/ beside t/.

package Replay;

use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

our @EXPORT = qw(plan ok diag bail finish npool_trace work_dir start status
    slurp trace_args words compare);

# A program that runs longer hangs: SIGALRM ends it.
use constant LIMIT_SECONDS => 300;

# A long line is shown from BEFORE characters before the difference.
use constant { WIDTH => 200, BEFORE => 80 };

my $build = $ENV{top_builddir} // dirname(__FILE__) . '/../../build';
my ($planned, $run, $failed) = (0, 0, 0);

# ---- TAP -------------------------------------------------------------------

sub plan {
	($planned) = @_;
	$| = 1;
	print "1..$planned\n";
}

sub ok {
	my ($good, $claim) = @_;
	$run++;
	$failed++ if !$good;
	print $good ? 'ok' : 'not ok', " $run - $claim\n";
	return $good;
}

sub diag { print map { "# $_\n" } map { split /\n/ } @_ }

sub bail {
	print "Bail out! @_\n";
	exit 1;
}

sub finish { exit($failed || $run != $planned ? 1 : 0) }

# ---- programs --------------------------------------------------------------

sub npool_trace {
	my $path = $ENV{NPOOL_TRACE} // "$build/tools/npool-trace";
	bail("$path is no program: build it, or set NPOOL_TRACE")
	    if !-f $path || !-x _;
	return $path;
}

# A directory of the build tree that goes when the test ends.
sub work_dir {
	my ($name) = @_;
	my $parent = -d "$build/t" ? "$build/t" : $build;
	bail("no build tree at $build: set top_builddir") if !-d $parent;
	$SIG{$_} = sub { exit 1 } for qw(HUP INT TERM);
	return tempdir("$name-XXXXXX", DIR => $parent, CLEANUP => 1);
}

# Start @command: standard input from $in, output to $to.out and $to.err.
# Returns its pid.
sub start {
	my ($in, $to, @command) = @_;
	my $pid = fork() // bail("fork: $!");
	return $pid if $pid;
	$SIG{$_} = 'DEFAULT' for qw(HUP INT TERM);
	alarm(LIMIT_SECONDS);
	if (open(STDIN, '<', $in) && open(STDOUT, '>', "$to.out") &&
	    open(STDERR, '>', "$to.err")) {
		no warnings 'exec';
		exec { $command[0] } @command;
	}
	print STDERR "$command[0]: $!\n";
	require POSIX;
	POSIX::_exit(127);
}

# Wait for a started program.  Returns nothing if it exited with 0, else how
# it ended.
sub status {
	my ($pid) = @_;
	waitpid($pid, 0) == $pid or return "waitpid: $!";
	return if $? == 0;
	return 'was killed by signal ' . ($? & 127) if $? & 127;
	return 'exited with ' . ($? >> 8);
}

sub slurp {
	my ($path) = @_;
	open(my $in, '<', $path) or bail("$path: $!");
	local $/;
	return <$in> // '';
}

# The options that a golden trace asks for.
sub trace_args {
	my ($trace) = @_;
	my ($args) = slurp($trace) =~ /^# args:[ \t]*(.*)$/m;
	bail("$trace has no '# args:' line") if !defined $args;
	return split(' ', $args);
}

# A command line to paste into a shell.
sub words {
	return join(' ', map { m{^[\w./:=+-]+$} ? $_ : do {
	    (my $w = $_) =~ s/'/'\\''/g; "'$w'" } } @_);
}

# ---- comparison ------------------------------------------------------------

# A line made fit to print; of a long one, what stands around column $at.
sub visible {
	my ($line, $at) = @_;
	return '(end of output)' if !defined $line;
	my $end = chomp($line) ? '' : ' (no newline)';
	my $from = $at > BEFORE ? $at - BEFORE : 0;
	$line = '...' . substr($line, $from)
	    if length($line) > WIDTH && $from > 0;
	$line = substr($line, 0, WIDTH) . '...' if length($line) > WIDTH;
	$line =~ s/([^ -~])/sprintf('\\x%02x', ord($1))/ge;
	return $line . $end;
}

# How many characters two lines have in common.
sub common {
	my ($x, $y) = @_;
	return 0 if !defined $x || !defined $y;
	return ($x ^ $y) =~ /^(\0+)/ ? length($1) : 0;
}

# The $n-th operation of a trace and its line number.
sub operation {
	my ($trace, $n) = @_;
	open(my $in, '<', $trace) or bail("$trace: $!");
	while (my $line = <$in>) {
		next if $line =~ /^(#|[ \t]*$)/ || --$n;
		return (visible($line, 0), $.);
	}
	return ('(none)', $.);
}

# Compare two outputs of one trace, line by line; an operation prints a line.
# The second one is named $name in what is said.  Returns the number of equal
# lines before the first difference, and, if there is one, a description of it.
sub compare {
	my ($trace, $netty, $npool, $name) = @_;
	open(my $want, '<', $netty) or bail("$netty: $!");
	open(my $got, '<', $npool) or bail("$npool: $!");
	my $n = 0;
	while (1) {
		my ($w, $g) = (scalar <$want>, scalar <$got>);
		return $n if !defined $w && !defined $g;
		if (!defined $w || !defined $g || $w ne $g) {
			my ($op, $line) = operation($trace, $n + 1);
			my $at = common($w, $g);
			return ($n, 'first difference in output line ' .
			    ($n + 1) . ", line $line of the trace: $op\n" .
			    '  Netty: ' . visible($w, $at) . "\n" .
			    '  ' . ($name // 'npool') . ': ' .
			    visible($g, $at));
		}
		$n++;
	}
}

1;
