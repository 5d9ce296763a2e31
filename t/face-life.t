#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# face-life.t - the malloc face through the whole life of a program.
#
# The claims stand in the programs t/face/life-*, which know nothing of
# libnpool and do not link it.  Each claim is checked without and with the
# face at the same time, and both must hold and print the same; so no claim
# asks for more than the C library itself gives.  A program refuses (exit
# 99) to speak for the face when its malloc comes from elsewhere.
#
# The misuses are for the face alone: it must abort and name the address.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;

use constant { LACKS => 77, ELSEWHERE => 99, ABORTED => 128 + 6 };

my @programs = qw(symbols ends fork threads signals cxx plugin);

my $foreign = qr/not a pointer of any pool/;
my $interior = qr/interior pointer/;
my $twice = qr/double free/;

# What, is check:1 needed to see it at the call, what the message says. A
# huge block that was freed is unmapped: then its address is nobody's.
my @misuses = (
	['stack', 0, $foreign, 'free of a stack address'],
	['function', 0, $foreign, 'free of a function'],
	['global', 0, $foreign, 'free of a global'],
	['mapped', 0, $foreign, "free of the program's own mapping"],
	['wild', 0, $foreign, 'free of an address beyond the address space'],
	['realloc', 0, $foreign, 'realloc of a stack address'],
	['interior-small', 1, $interior, 'free inside a small piece'],
	['interior-run', 1, $interior, 'free inside a run of pages'],
	['interior-huge', 1, $interior, 'free inside a huge block'],
	['twice-small', 1, $twice, 'second free of a small piece'],
	['twice-run', 1, $twice, 'second free of a run of pages'],
	['twice-huge', 1, qr/$twice|$foreign/,
	    'second free of a huge block'],
	['twice-other-thread', 1, $twice,
	    "second free after another thread's"],
	['twice-apart', 1, $twice, 'second free after other frees'],
);

my $made = build_dir() . '/t/face';
my %plugin = (PLUGIN => "$made/.libs/plugin.so");

# A build without a C++ compiler has no life-cxx.
my $no_cxx = !-x "$made/life-cxx";
@programs = grep { $_ ne 'cxx' } @programs if $no_cxx;

sub program
{
	my ($name) = @_;

	return "$made/life-$name" if -x "$made/life-$name";
	print "Bail out!  $made/life-$name: not built; run make check\n";
	exit 1;
}

sub claims_of
{
	my ($name) = @_;
	my $out = tmpdir() . '/claims';

	run(cmd => [program($name)], out => $out);
	return split /\n/, slurp($out);
}

sub check_claim
{
	my ($name, $number, $claim) = @_;
	my ($plain, $face) = map { tmpdir() . "/$_" } qw(plain.out face.out);
	my @both = ([program($name), $number], env => \%plugin);
	my $first = start(cmd => @both, out => $plain);
	my $code = run(cmd => [program($name), $number], out => $face,
	    face => 1, env => { %plugin, FACE => face() }, seconds => 90);
	my $status = finish($first, 90);

	if (!defined $status) {
		stop($first, 'KILL');
		$status = 'timeout';
	}
	my $same = slurp($plain) eq slurp($face);
	my $lacks = $status eq LACKS << 8;

	ok($code eq '0' && ($status eq '0' && $same || $lacks),
	    "$name: $claim", "on the face: exit $code", slurp($face),
	    "without it: wait status $status", slurp($plain));
}

sub check_misuse
{
	my ($what, $checked, $words, $claim) = @_;
	my ($out, $err) = map { tmpdir() . "/misuse.$_" } qw(out err);
	my $code = run(cmd => [program('misuse'), $what], out => $out,
	    err => $err, face => 1, seconds => 30,
	    env => $checked ? { NPOOL_CONF => 'check:1' } : {});
	my ($address) = slurp($out) =~ /^0x0*([0-9a-f]+)$/m;
	my $message = slurp($err);
	my $call = $what eq 'realloc' ? 'realloc' : 'free';

	ok($code eq ABORTED && $message =~ /libnpool:/ && $address &&
	    $message =~ /\b$call\(0x0*$address\)/ && $message =~ $words,
	    "misuse: $claim aborts and is named", "exit $code, address " .
	    ($address // '(none)') . ", message:", $message);
}

my %claims = map { $_ => [claims_of($_)] } @programs;
my $n = 0;
$n += @{ $claims{$_} } for @programs;

plan(1 + $n + @misuses + $no_cxx);
alarm 280;
my $code = run(cmd => [program('symbols'), 0], out => tmpdir() . '/out',
    env => { FACE => face() });
ok($code eq ELSEWHERE, 'a program without the face does not speak for it',
    "exit $code", slurp(tmpdir() . '/out'));
for my $name (@programs) {
	my $number = 0;

	check_claim($name, $number++, $_) for @{ $claims{$name} };
}
needs(1, 'life-cxx, for want of a C++ compiler' => 'g++') if $no_cxx;
check_misuse(@$_) for @misuses;
