#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool_tree(7) and npool-trace(1) say what is true: every command that is shown
# in them is run, and prints what is shown; the drawings of the tree are those
# that `npool-trace explain --tree` makes of the same trace; and the numbers in
# the tables and in the text are computed anew.
#
# A display that is marked as a transcript is passed over: it has times in it.
# In another one, a line "$ COMMAND" is run, with "> MORE" behind it; what stands
# under it is its output, errors too.  What stands under "$ cat FILE" becomes
# FILE, if there is none yet.

use strict;
use warnings;
use File::Basename qw(dirname);
use File::Spec ();
use lib dirname(__FILE__) . '/judge';
use Replay;

my $man = dirname(__FILE__) . '/../man';
my $work;

# The text of the page that a reader sees: without escapes.
sub unescaped {
	my ($text) = @_;
	$text =~ s/\\-/-/g;
	$text =~ s/\\&//g;
	$text =~ s/\\e/\\/g;
	return $text;
}

sub displays {
	my ($page) = @_;
	my $text = slurp("$man/$page");

	$text =~ s/^\.\\" transcript\n.*?^\.Ed$//msg;
	return map { unescaped($_) } $text =~ /^\.Bd [^\n]*\n(.*?)^\.Ed$/msg;
}

# ---- commands --------------------------------------------------------------

# [command, output] of each command in the page.
sub commands {
	my ($page) = @_;
	my @commands;
	for my $display (displays($page)) {
		my $in_command;
		next if $display !~ /^\$ /m;
		for my $line (split /^/, $display) {
			if ($line =~ /^\$ (.*)/s) {
				push @commands, [$1, ''];
				$in_command = 1;
			} elsif ($in_command && $line =~ /^> (.*)/s) {
				$commands[-1][0] .= $1;
			} else {
				$in_command = 0;
				$commands[-1][1] .= $line;
			}
		}
	}
	return @commands;
}

sub shell {
	my ($command) = @_;
	open(my $script, '>', "$work/script") or bail("$work/script: $!");
	print $script $command;
	close($script);
	return scalar `cd '$work' && sh ./script 2>&1`;
}

sub check_command {
	my ($page, $command, $wanted) = @_;
	if ($command =~ /^cat (\S+)$/ && !-e "$work/$1") {
		open(my $file, '>', "$work/$1") or bail("$1: $!");
		print $file $wanted;
		close($file);
	}
	my $seen = shell($command);
	(my $name = $command) =~ s/\s+/ /g;
	$name =~ s/#/No./g;
	return if ok($seen eq $wanted, "$page: $name");
	diag('printed:', $seen, 'wanted:', $wanted);
}

# ---- drawings --------------------------------------------------------------

# A drawing of the tree is a display that begins with a number in the middle.
# Only the numbers count, and their columns; a remark stands to the right.
sub drawings {
	my @drawings;
	for my $display (displays('npool_tree.7')) {
		next if $display !~ /^ {14,}\[?\d\]?( {10}|$)/ ||
		    $display =~ /p0/;
		my @rows = map { substr($_, 0, 34) } split /\n/, $display;
		s/\s+$// for @rows;
		push @drawings, join("\n", @rows);
	}
	return @drawings;
}

# What explain draws at each step: before the first, and after each.
sub drawn {
	my @rows = split /\n/, shell('npool-trace explain --tree ' .
	    '--max-order 3 small.trace');
	my (@steps, $left);
	while (defined(my $row = shift @rows)) {
		next if $row !~ /^  tree/;
		my @four = ($row, splice(@rows, 0, 3));
		my @was = map { substr($_, 11, 32) } @four;
		my @now = map { substr($_, 49) } @four;
		s/\s+$// for @was, @now;
		push @steps, join("\n", @was) if !@steps;
		push @steps, join("\n", @now);
	}
	return @steps;
}

# Moved to the left as far as all rows can be.
sub flush {
	my ($text) = @_;
	my ($least) = sort { $a <=> $b } map { /^( *)/; length($1) }
	    split /\n/, $text;
	$text =~ s/^ {$least}//mg;
	return $text;
}

# ---- tables and numbers ----------------------------------------------------

my $page = slurp("$man/npool_tree.7");

sub says {
	my ($text, $claim) = @_;
	(my $flat = unescaped($page)) =~ s/\s+/ /g;
	diag("not in the page: $text")
	    if !ok(index($flat, $text) >= 0, $claim);
}

sub check_depths {
	my @rows = $page =~ /^\.It (\d+) bytes Ta (\d+) pages? Ta ([^\n]*) Ta (\d+)$/mg;
	ok(@rows == 20, 'five rows of sizes and depths');
	while (my ($size, $pages, $formula, $depth) = splice(@rows, 0, 4)) {
		my $told = shell("echo a A $size | npool-trace explain -");
		my ($wanted) = $told =~ /^  depth    .* = (11 - .*) = (\d+)$/m;
		ok($told =~ /^  depth    .* = \Q$formula\E = $depth$/m &&
		    $told =~ /a run of $pages page/ &&
		    eval($formula) == $depth,
		    "$size bytes are at depth $depth") or diag($told);
	}
}

sub check_roots {
	my @rows = $page =~ /^\.It (\d) Ta "?(\d pages?|none)"?$/mg;
	ok(@rows == 10, 'five rows of what the root says');
	while (my ($root, $run) = splice(@rows, 0, 2)) {
		my $pages = $root > 3 ? 0 : 2 ** (3 - $root);
		my $wanted = $pages ? $pages . ($pages > 1 ? ' pages'
		    : ' page') : 'none';
		ok($run eq $wanted, "a root of $root: $wanted");
	}
}

# The data of a chunk, as lib/chunk.h has it, and the arithmetic of the text.
sub check_numbers {
	my ($pages, $chunk) = (2048, 2048 * 8192);
	my ($tree, $table, $map) = (2 * $pages, 4 * $pages, $pages / 8);
	my $all = $tree + $table + 2 * $map;
	says("is $tree bytes of tree, $table bytes of page table and two " .
	    "bitmaps of $map bytes", 'the bytes of a chunk\'s data');
	says(sprintf('%d bytes, %.2f %% of the chunk', $all,
	    100 * $all / $chunk), 'their sum and share');
	says(sprintf('B wastes %d of 16384 bytes, %.2f %%', 16384 - 8193,
	    100 * (16384 - 8193) / 16384), 'the waste of rounding');
	my $n = int(8192 / 304);
	says(sprintf('304 bytes go into a page %d times, %d bytes; %d bytes, ' .
	    '%.1f %%, are left over', $n, 304 * $n, 8192 - 304 * $n,
	    100 * (8192 - 304 * $n) / 8192), 'the tail of a subpage');
	says(sprintf('2048 requests with 11 parents each, so %d numbers',
	    2048 * 11), 'how many parents there are');
	my $changed = 0;
	$changed += 2 ** (11 - $_) * ($_ + 1) for 1 .. 11;
	says("Only $changed did: " . sprintf('%.0f', $changed / 2048) .
	    ' for each request, not 11', 'how many of them change');
	ok($page =~ /^(\d+)\n\.Ed/m && $1 + $changed == 2048 * 11,
	    'both numbers add up');
	my $handle = 1 << 62 | 1 << 32 | 2048 + 2;
	says(sprintf('0x%016x of D', $handle), 'the handle that is read');
	says('2 * 8192 + 1 * 4096 = ' . (2 * 8192 + 4096), 'its offset');
	says('(1026 - 1024) * 2 = ' . (1026 - 1024) * 2, 'the page of E');
}

# ---- the whole -------------------------------------------------------------

my @pages = ('npool_tree.7', 'npool-trace.1');
my %commands = map { $_ => [commands($_)] } @pages;
my $ncommands = 0;
$ncommands += @{ $commands{$_} } for @pages;
my @drawings = drawings();

plan($ncommands + 1 + 6 + 6 + 6 + 10);
$work = work_dir('tree');
my $trace = npool_trace();
mkdir("$work/bin") or bail("$work/bin: $!");
symlink(File::Spec->rel2abs($trace), "$work/bin/npool-trace")
    or bail("symlink: $!");
$ENV{PATH} = "$work/bin:$ENV{PATH}";
$ENV{LC_ALL} = 'C';
for my $name (@pages) {
	check_command($name, @$_) for @{ $commands{$name} };
}

my @drawn = drawn();
ok(@drawings == 6 && @drawn == 6, 'a drawing before the first step, and for each');
for my $i (0 .. 5) {
	my ($seen, $wanted) = map { flush($_ // '') } $drawings[$i], $drawn[$i];
	next if ok($seen eq $wanted, "drawing $i is the tree's");
	diag('drawn:', $seen, 'wanted:', $wanted);
}
check_depths();
check_roots();
check_numbers();
finish();
