#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# face-programs.t - everyday programs say the same on the malloc face.
#
# Each job is a script t/face/job-NAME.* that works in an empty directory
# on input made here (always the same) and prints digests of what it made.
# It runs once without and once with the face; the face must have served
# every process of the second run and none of the first.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;

use constant CLAIMS => 4;

my @jobs = (
	{ name => 'python3', script => [qw(python3 job-python.py)],
	    needs => { python3 => 'python3' } },
	{ name => 'perl', script => [qw(perl job-perl.pl)],
	    needs => { perl => 'perl' } },
	{ name => 'gcc', script => [qw(sh job-gcc.sh)],
	    needs => { gcc => 'gcc' } },
	{ name => 'git', script => [qw(sh job-git.sh)],
	    needs => { git => 'git' } },
	{ name => 'sort --parallel', script => [qw(sh job-sort.sh)],
	    needs => { sort => 'coreutils' } },
	{ name => 'xz -T2', script => [qw(sh job-xz.sh)],
	    needs => { xz => 'xz-utils' } },
	{ name => 'a bash pipeline', script => [qw(bash job-bash.bash)],
	    needs => { bash => 'bash', awk => 'mawk' } },
);

my $input;

# Pseudo-random numbers that are the same everywhere (Park and Miller).
my $seed = 20480;
sub draw
{
	my ($below) = @_;

	$seed = $seed * 48271 % 2147483647;
	return $seed % $below;
}

# Some MB of text: words, numbers and repetitions, as logs have them.
sub make_lines
{
	my @word = map { join '', map { chr 97 + draw(26) } 0 .. 2 + draw(9) }
	    1 .. 2000;
	my @line;

	push @line, sprintf("%07d %s %s %d\n", draw(10_000_000),
	    $word[draw(2000)], $word[draw(2000)], draw(500))
	    for 1 .. 160_000;
	spew("$input/lines.txt", @line);
}

# A C file that keeps a compiler's memory busy: many functions, one table.
sub make_c
{
	my @text = ("/* made by a test */\n#include <stddef.h>\n");
	my $n = 120;

	for my $i (0 .. $n - 1) {
		my ($a, $b, $c) = (draw(1000), 1 + draw(30), draw(1000));
		push @text, <<"C";
static unsigned f$i(const unsigned *v, size_t n, unsigned x)
{
	unsigned sum = x ^ ${a}u;
	for (size_t k = 0; k < n; k++)
		switch ((v[k] + sum) % 7) {
		case 0: sum += v[k] * ${c}u; break;
		case 1: sum ^= v[k] << ($b & 15); break;
		case 3: sum -= (unsigned)k * $b; break;
		case 5: if (v[k] > ${a}u) return sum / ${b}u; break;
		default: sum = (sum >> 3) | (sum << 29);
		}
	return sum;
}
C
	}
	push @text, "unsigned (*const table[])(const unsigned *, size_t, ",
	    "unsigned) = {\n", map("\tf$_,\n", 0 .. $n - 1), "};\n";
	spew("$input/table.c", @text);
}

sub run_job
{
	my ($job, $on_face) = @_;
	my $dir = tmpdir() . '/here';
	my $log = tmpdir() . ($on_face ? '/face/ld' : '/plain/ld');
	my $out = tmpdir() . '/out';

	system 'rm', '-rf', $dir, dirname($log);
	mkdir $_ for $dir, dirname($log);
	my ($interpreter, $script) = @{ $job->{script} };
	my $code = run(cmd => [$interpreter,
	    source_dir() . "/t/face/$script"], in => $dir, out => $out,
	    face => $on_face, log => $log, env => { INPUT => $input,
	    SOURCE => source_dir(), HOME => $dir });
	return ($code, slurp($out), $log);
}

sub check_job
{
	my ($job) = @_;
	my $name = $job->{name};

	my ($code, $text, $log) = run_job($job, 0);
	my ($face_code, $face_text, $face_log) = run_job($job, 1);
	my ($n, @home) = malloc_homes($log);

	my $on_face = grep { $_ eq face() } @home;
	ok($code eq '0' && length $text && $n && !$on_face,
	    "$name does its work without the face",
	    "exit $code, $n processes, malloc from: @home", $text);
	on_face($face_log, "every process of $name is served by the face");
	is($face_text, $text, "$name says the same with the face");
	is($face_code, $code, "$name exits the same with the face");
}

plan(CLAIMS * @jobs);
alarm 240;
mkdir($input = tmpdir() . '/in');
make_lines();
make_c();
for my $job (@jobs) {
	check_job($job) if needs(CLAIMS, %{ $job->{needs} });
}
