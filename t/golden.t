#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# Golden traces: each t/golden/NAME.trace, run by `npool-trace replay --netty`
# with the options on its `# args:` line, prints NAME.out to the character.
# The outputs were recorded from the real Netty 4.1.48, so this needs no Java;
# t/judge.t checks the recordings against Netty.  To record anew:
#
#	t/judge/oracle $(sed -n 's/^# args://p' X.trace) X.trace > X.out

use strict;
use warnings;
use File::Basename qw(basename dirname);
use lib dirname(__FILE__) . '/judge';
use Replay;

my $here = dirname(__FILE__);
my ($npool, $work);

sub replay {
	my ($trace, $in, $claim, @args) = @_;
	(my $recorded = $trace) =~ s/trace$/out/;
	my @command = ($npool, 'replay', '--netty', @args);
	my $ended = status(start($in, "$work/npool", @command));
	my ($same, $difference) = compare($trace, $recorded,
	    "$work/npool.out");
	return if ok(!$ended && $same && !$difference, $claim);
	diag("npool-trace $ended: " . slurp("$work/npool.err")) if $ended;
	diag($difference) if $difference;
	diag(words(@command) . " < $in | diff $recorded -");
}

my @traces = sort glob("$here/golden/*.trace");
bail("no traces in $here/golden") if !@traces;
plan(2 * @traces);
$npool = npool_trace();
$work = work_dir('golden');
for my $trace (@traces) {
	my @args = trace_args($trace);
	my $name = basename($trace, '.trace');
	replay($trace, '/dev/null', "$name: as recorded from Netty",
	    @args, $trace);
	replay($trace, $trace, "$name: the same from standard input",
	    @args, '-');
}
finish();
