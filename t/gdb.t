#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-gdb.py: what gdb shows of a core file, and of a process that it has
# stopped, is what npool-stat showed of the process; and what it says where
# there is nothing to show.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;

my $stat = build_dir() . '/tools/npool-stat';
my $script = source_dir() . '/tools/npool-gdb.py';
my $tmp = tmpdir();
my $claims = 9;
my $program = $stat; # that shows it

# gdb(arguments): what it says with the script, on standard output; or there
# and in messages.
sub gdb
{
	my (@args) = @_;

	run(cmd => ['gdb', '-nx', '-batch', '-x', $script, @args],
	    out => "$tmp/gdb.out", err => "$tmp/gdb.err",
	    env => { NPOOL_STAT => $program });
	return wantarray ? (slurp("$tmp/gdb.out"), slurp("$tmp/gdb.err"))
	    : slurp("$tmp/gdb.out");
}

# The part of what is said that is npool-stat's, without its heading.
sub view_in
{
	my ($said) = @_;

	$said =~ s/^.*?^npool-stat: [^\n]*\n//ms;
	$said =~ s/^\[Inferior .*//ms;
	return $said;
}

sub stat_of
{
	run(cmd => [$stat, @_], out => "$tmp/stat.out", err => "$tmp/stat.err");
	return view_in(slurp("$tmp/stat.out"));
}

sub like
{
	my ($seen, $wanted, $claim) = @_;

	ok($seen =~ $wanted, $claim, "wanted $wanted, seen:", $seen);
}

sub sleeper
{
	my (%how) = @_;
	my $pid = start(cmd => [$^X, '-e', '@x = map { q(y) x ($_ % 3000) }' .
	    ' 1 .. 5000; $| = 1; print "ready\n"; sleep 300'],
	    out => "$tmp/ready", %how);

	wait_for(20, sub { slurp("$tmp/ready") =~ /ready/ });
	spew("$tmp/ready", '');
	return $pid;
}

sub test_core
{
	my $pid = sleeper(face => 1);
	my %view = map { $_ => stat_of(split(/ /, $_), $pid) }
	    ('--threads', '--lists', '--chunk 0');
	my $said = gdb('-p', $pid, '-ex', 'npool --lists',
	    '-ex', "generate-core-file $tmp/core");

	if (!-s "$tmp/core") {
		stop($pid, 'KILL');
		skip($claims, 'gdb may not look at a process here');
		return;
	}
	is(view_in($said =~ s/^Saved corefile.*//msr), $view{'--lists'},
	    'a process that gdb has stopped is shown as it is');
	is(stat_of('--lists', $pid), $view{'--lists'}, 'and goes on');
	stop($pid, 'KILL');
	for my $view (sort keys %view) {
		is(view_in(scalar gdb($^X, "$tmp/core", '-ex', "npool $view")),
		    $view{$view}, "$view of its core is what it was");
	}
	like(join('', gdb($^X, "$tmp/core", '-ex', 'npool --no-such-view')),
	    qr/unrecognized option.*usage: npool-stat/s,
	    'what npool-stat has to say is told');
	$program = "$tmp/none";
	like(join('', gdb($^X, "$tmp/core", '-ex', 'npool')),
	    qr{none: No such file.*NPOOL_STAT},
	    'a program that is not there too');
	$pid = sleeper();
	like(join('', gdb('-p', $pid, '-ex', 'npool')),
	    qr/no segment of npool is in this memory/,
	    'a process without npool has nothing to show');
	like(scalar gdb('-p', $pid, '-ex', 'help npool'), qr/npool-stat\(1\) shows/,
	    'there is help');
	stop($pid, 'KILL');
}

plan($claims);
test_core() if needs($claims, gdb => 'gdb');
