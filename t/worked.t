#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The programs in the pages: those that are marked as worked examples compile
# without a warning, end well, and print what the page says; the others that
# have a main compile and end well.
#
#	t/worked.t --fill	puts what they print into the pages
use strict;
use warnings;
use Cwd qw(abs_path getcwd);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);

my $source = $ENV{abs_top_srcdir} // abs_path(dirname($0) . '/..');
my $build = $ENV{abs_top_builddir}
    // (-e 'config.status' ? getcwd() : "$source/build");
my $sanitizers = $ENV{NPOOL_TEST_SANITIZERS} // 'no';
my $cc = $ENV{CC} // 'cc';
my $fill = @ARGV && $ARGV[0] eq '--fill';
my $tmp = tempdir('npool-worked.XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $block = qr/\.Bd -literal[^\n]*\n(.*?)^\.Ed\n/ms;
my ($count, $failed) = (0, 0);

sub ok
{
	my ($good, $claim, @why) = @_;

	print $good ? '' : 'not ', 'ok ', ++$count, " - $claim\n";
	return if $good;
	$failed++;
	print map { "# $_\n" } map { split /\n/ } @why;
}

sub slurp
{
	my ($file) = @_;

	open my $in, '<', $file or die "$file: $!\n";
	local $/;
	return scalar(<$in>) // '';
}

sub spew
{
	my ($file, $text) = @_;

	open my $out, '>', $file or die "$file: $!\n";
	print $out $text;
	close $out or die "$file: $!\n";
}

# As the reader of a page sees it, and back.
sub printed
{
	my ($text) = @_;

	$text =~ s/\\&//g;
	$text =~ s/\\-/-/g;
	$text =~ s/\\\(aq/'/g;
	$text =~ s/\\e/\\/g;
	return $text;
}

sub escaped
{
	return $_[0] =~ s/\\/\\e/gr =~ s/^(?=[.'])/\\&/gmr;
}

# Runs a command; returns its exit status and what it said.
sub run
{
	my ($command) = @_;
	my $status = system("$command >$tmp/out 2>$tmp/err");

	return ($status, slurp("$tmp/out"), slurp("$tmp/err"));
}

# Compiles and runs a program; returns what it printed, or undef.
sub try
{
	my ($name, $program) = @_;
	my $sane = $sanitizers eq 'no' ? '' : "-fsanitize=$sanitizers";
	my $libs = "$build/lib/.libs";

	spew("$tmp/one.c", $program);
	my ($status, $out, $err) = run("$cc -std=gnu11 -g $sane -Wall -Wextra " .
	    "-Wconversion -Wshadow -Werror -I$source/include -o $tmp/one " .
	    "$tmp/one.c -L$libs -lnpool -Wl,-rpath,$libs");
	ok(!$status, "$name compiles without a warning", $err);
	return if $status;
	($status, $out, $err) = run("timeout 60 $tmp/one");
	ok(!$status, "$name ends well", "status $status", $err);
	return $status ? undef : $out;
}

sub worked
{
	my ($page, $text) = @_;
	my ($n, $filled) = (0, $text);

	while ($text =~ /^\.\\"\ worked\ example\n$block
	    (.*?)^\.\\"\ its\ output\n$block/gmsx) {
		my ($program, $wanted) = (printed($1), printed($3));
		my ($start, $length) = ($-[3], $+[3] - $-[3]);
		my $name = "$page, worked example " . ++$n;
		my $out = try($name, $program);
		next if !defined $out;

		ok($out eq $wanted, "$name prints what the page says",
		    'printed:', $out, 'the page:', $wanted);
		# From behind, places before it stay where they are.
		substr($filled, $start + length($filled) - length($text),
		    $length) = escaped($out) if $fill;
	}
	my $marked = () = $text =~ /^\.\\" worked example$/gm;
	ok($n == $marked, "$page: each of its examples has an output",
	    "$marked are marked, $n were tried") if $marked;
	return $filled;
}

sub others
{
	my ($page, $text) = @_;
	my $n = 0;

	$text =~ s/^\.\\" worked example\n$block//gm;
	$text =~ s/^\.\\" transcript\n$block//gm; # t/recall.t knows more
	while ($text =~ /^$block/gm) {
		my $program = printed($1);
		next if $program !~ /^int main\(/m;
		try("$page, program " . ++$n, $program);
	}
}

for my $file (sort glob "$source/man/*.[1-9]") {
	my $text = slurp($file);
	my $filled = worked(basename($file), $text);

	spew($file, $filled) if $filled ne $text;
	others(basename($file), $text);
}
ok($count > 20, 'the pages have worked examples');
print "1..$count\n";
exit($failed != 0);
