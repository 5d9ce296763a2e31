#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# face-start.t - when the pool starts, on the malloc face.
#
# A process that allocates nothing has no pool: what constructors asked for
# lies in the library's own data.  With an option in the environment, or where
# no constructor allocates (without libnuma), it starts with the library.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;

my $program = build_dir() . '/t/face/start';
my $numa = slurp(build_dir() . '/config.h') =~ /^#define HAVE_LIBNUMA 1$/m;

# What the program saw at the begin of main, and behind a call of malloc.
sub seen
{
	my ($env) = @_;
	my $out = tmpdir() . '/out';
	my $code = run(cmd => [$program], out => $out, face => 1,
	    env => $env, seconds => 30);

	return $code eq '0' ? join ' ', split /\n/, slurp($out) : "exit $code";
}

plan(5);
my $begin = $numa ? 'asleep' : 'awake';
is(seen({}), "$begin awake", 'the pool starts with the first malloc of main');
is(seen({ NPOOL_CONF => 'decay_ms:5000' }), 'awake awake',
    'with an option it starts with the library');
my $err = tmpdir() . '/err';
my $code = run(cmd => ['true'], face => 1, out => $err, seconds => 30,
    env => { NPOOL_CONF => 'nonsense:1' });
ok($code eq '0' && slurp($err) =~ /there is no option 'nonsense'/,
    'a wrong option is named though nothing is allocated', slurp($err));
$code = run(cmd => ['true'], face => 1, out => $err, seconds => 30);
ok($code eq '0' && slurp($err) eq '', 'a program that does nothing ends well',
    "exit $code", slurp($err));
my $dir = tmpdir() . '/segments';
mkdir $dir;
$code = run(cmd => ['true'], face => 1, out => $err, seconds => 30,
    env => { NPOOL_CONF => "segment:$dir" });
my @files = glob "$dir/*";
is(scalar @files, 1, 'and one that is to be looked at leaves its counters');
