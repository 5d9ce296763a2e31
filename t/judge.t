#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The judge: random traces (t/judge/gentrace) run on the real Netty 4.1.48
# (t/judge/oracle) and on `npool-trace replay --netty`, which must print the
# same to the character: places, handles, chunk numbers, chunk lists, counters.
# It also asks Netty whether the recordings of t/golden are still its own.
#
# NPOOL_TEST_LEVEL chooses how much:
#
#	unset	nothing: Netty needs Java, and a minute
#	check	100,000 operations, 8 seeds, each with its own geometry
#	all	1,080,000 operations, 36 seeds: each page size from 4096 to
#		16384 with each order from 0 to 11
#
# At check and all, missing Java or Netty is a failure, not a skip.  A
# difference is shown with its operation and with the commands that repeat it.

use strict;
use warnings;
use Cwd qw(getcwd);
use File::Basename qw(basename dirname);
use lib dirname(__FILE__) . '/judge';
use Replay;

use constant {
	CHECK_OPS => 12_500,
	ALL_OPS => 30_000,
};

my $here = dirname(__FILE__);
my $level = $ENV{NPOOL_TEST_LEVEL} // '';

# [page size, max order, mix of sizes]; the seed is the row's number.
my @check = (
	[4096, 0, 'mixed'], [8192, 9, 'sparse'], [16384, 1, 'edge'],
	[4096, 3, 'one'], [8192, 11, 'sparse'], [16384, 7, 'mixed'],
	[8192, 5, 'any'], [4096, 11, 'mixed'],
);

# Every geometry; the mixes of sizes take turns, out of step with orders.
sub all_rows {
	my @mixes = qw(mixed sparse edge any one sparse small normal mixed
	    tiny big);
	my @rows;
	for my $order (0 .. 11) {
		push @rows, [$_, $order, $mixes[@rows % @mixes]]
		    for 4096, 8192, 16384;
	}
	return @rows;
}

my ($npool, $work);
my $compared = 0;

sub geometry_args {
	my ($page, $order) = @_;
	return ('--page-size', $page, '--max-order', $order);
}

# Run one command to its end; anything but exit code 0 stops the test.
sub must_run {
	my ($to, @command) = @_;
	my $ended = status(start('/dev/null', $to, @command)) or return;
	my ($why) = slurp("$to.err") =~ /([^\n]+)\n*\z/;
	bail(words(@command), "$ended:", $why // 'no message');
}

# Both sides at once, on one trace: Netty's to $work/netty.out, ours to
# $work/npool.out.  Returns what went wrong, if anything.
sub run_both {
	my ($trace, @args) = @_;
	my $theirs = start('/dev/null', "$work/netty", "$here/judge/oracle",
	    @args, $trace);
	my $ours = start('/dev/null', "$work/npool", $npool, 'replay',
	    '--netty', @args, $trace);
	my @ended = (['netty', status($theirs)], ['npool', status($ours)]);
	return join("\n", map { "$_->[0] $_->[1]: " .
	    substr(slurp("$work/$_->[0].err"), 0, 500) }
	    grep { defined $_->[1] } @ended);
}

sub show_commands {
	my ($gentrace, @args) = @_;
	my $build = $ENV{top_builddir};
	diag('to repeat it:',
	    '  cd ' . words(getcwd()),
	    defined $build ? '  export top_builddir=' . words($build) : (),
	    '  ' . words(@$gentrace) . ' > judge.trace',
	    '  ' . words("$here/judge/oracle", @args) .
	    ' judge.trace > netty.out',
	    '  ' . words($npool, 'replay', '--netty', @args) .
	    ' judge.trace > npool.out',
	    '  diff netty.out npool.out | head');
}

sub judge_row {
	my ($seed, $ops, $page, $order, $mix) = @_;
	my @args = geometry_args($page, $order);
	my @gentrace = ("$here/judge/gentrace", '--seed', $seed, '--ops', $ops,
	    @args, '--profile', $mix);
	must_run("$work/trace", @gentrace);
	my $trace = "$work/trace.out";
	my $wrong = run_both($trace, @args);
	my ($same, $difference) = compare($trace, "$work/netty.out",
	    "$work/npool.out");
	$compared += $same;
	return if ok(!$wrong && !$difference && $same == $ops,
	    "seed $seed: $ops operations ($mix), page size $page, " .
	    "max order $order: as Netty");
	diag($wrong) if $wrong;
	diag($difference) if $difference;
	diag("$same lines of output, not $ops") if !$wrong && !$difference;
	show_commands(\@gentrace, @args);
}

sub judge_recording {
	my ($trace) = @_;
	(my $recorded = $trace) =~ s/trace$/out/;
	must_run("$work/netty", "$here/judge/oracle", trace_args($trace),
	    $trace);
	my ($same, $difference) = compare($trace, "$work/netty.out",
	    $recorded, '.out ');
	ok($same && !$difference,
	    'golden/' . basename($recorded) . ' is what Netty prints');
	diag($difference) if $difference;
}

if ($level ne 'check' && $level ne 'all') {
	print "1..0 # SKIP set NPOOL_TEST_LEVEL=check\n";
	exit 0;
}
my ($ops, @rows) = $level eq 'check' ? (CHECK_OPS, @check)
    : (ALL_OPS, all_rows());
my @recordings = sort glob("$here/golden/*.trace");
plan(@rows + @recordings);
$npool = npool_trace();
$work = work_dir('judge');
$ENV{NPOOL_ORACLE_DIR} = "$work/classes";
must_run("$work/first", "$here/judge/oracle", '/dev/null');	# compiles

my $seed = 0;
judge_row(++$seed, $ops, @$_) for @rows;
judge_recording($_) for @recordings;
diag("$compared operations compared, over $seed seeds");
finish();
