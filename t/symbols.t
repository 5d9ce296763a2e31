#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The names that the libraries show are the names that their maps list, and
# libnpool's are the functions that its public headers declare: none is
# forgotten, none gets out by chance. And a look at what the linker made of
# the rest: soname, binding, thread-local variables, the archive.
use strict;
use warnings;
use Cwd qw(abs_path getcwd);
use File::Basename qw(dirname);

my $source = $ENV{abs_top_srcdir} // abs_path(dirname($0) . '/..');
my $build = $ENV{abs_top_builddir}
    // (-e 'config.status' ? getcwd() : "$source/build");
my $sanitized = ($ENV{NPOOL_TEST_SANITIZERS} // 'no') ne 'no';
my $made = "$build/lib/.libs";
my $relocations_most = 300; # a table of pointers would be more
my ($count, $failed) = (0, 0);

sub ok
{
	my ($good, $claim, @why) = @_;

	$count++;
	print $good ? '' : 'not ', "ok $count - $claim\n";
	$failed++ if !$good;
	print map { "# $_\n" } @why if !$good;
}

# Claims that two lists hold the same names; else says what each lacks.
sub same
{
	my ($a_name, $a, $b_name, $b, $claim) = @_;
	my %in_a = map { $_ => 1 } @$a;
	my %in_b = map { $_ => 1 } @$b;
	my @why = ((map { "$_: only $a_name" } grep { !$in_b{$_} } sort @$a),
	    (map { "$_: only $b_name" } grep { !$in_a{$_} } sort @$b));

	ok(@$a && !@why, $claim, @why ? @why : "$a_name: no names at all");
}

sub skip
{
	my ($n, $why) = @_;

	print 'ok ', ++$count, " # SKIP $why\n" while $n--;
}

sub slurp
{
	my ($file) = @_;

	open my $in, '<', $file or die "$file: $!\n";
	local $/;
	return scalar <$in>;
}

sub output
{
	my (@command) = @_;

	open my $pipe, '-|', @command or die "$command[0]: $!\n";
	my @lines = <$pipe>;
	close $pipe or die "@command: failed\n";
	chomp @lines;
	return @lines;
}

sub no_comments
{
	my ($text) = @_;

	$text =~ s{/\*.*?\*/}{ }gs;
	$text =~ s{//[^\n]*}{}g;
	return $text;
}

# Pairs [name, node] that a map makes global; an anonymous node is ''.
sub in_map
{
	my ($text) = no_comments(slurp($_[0]));
	my @names;

	while ($text =~ /(\w+(?:\.\w+)*)?\s*\{(.*?)\}/gs) {
		my ($node, $body) = ($1 // '', $2);
		$body =~ s/\blocal:.*//s;
		$body =~ s/\bglobal://;
		push @names, map { [$_, $node] } $body =~ /([\w*?]+)\s*;/g;
	}
	return @names;
}

# name@@NODE or name of all that a shared library defines and shows; without
# the nodes' own names.
sub shown
{
	return map { /^\S+ [A-Z] (\S+)$/i && $1 !~ /^(NPOOL_\S+)@@\1$/ &&
	    $1 !~ /^NPOOL_[\d.]+(_PRIVATE)?$/ ? $1 : () }
	    output('nm', '-D', '--defined-only', '--with-symbol-versions', $_[0]);
}

# The functions that the public headers declare.
sub declared
{
	my @names;

	for my $header (glob "$source/include/*.h") {
		my $text = no_comments(slurp($header));
		$text =~ s/^\s*#(?:[^\n]*\\\n)*[^\n]*//gm;
		for my $statement (split /[;{}]/, $text) {
			next if $statement !~ /\bNPOOL_API\b/;
			push @names, $1 if $statement =~ /\b(npool_\w+)\s*\(/;
		}
	}
	return @names;
}

my @map = in_map("$source/lib/libnpool.map");
my @public = map { $_->[0] } grep { $_->[1] !~ /PRIVATE/ } @map;
my @private = map { $_->[0] } grep { $_->[1] =~ /PRIVATE/ } @map;
my ($private_node) = grep { /PRIVATE/ } map { $_->[1] } @map;
my ($version) = slurp("$build/lib/npool.pc") =~ /^Version: (.+)$/m;
my @face = map { $_->[0] } in_map("$source/lib/malloc.map");
my @dynamic = output('readelf', '-dW', "$made/libnpool.so.0");
my $has_archive = ($ENV{NPOOL_TEST_STATIC} // 'yes') eq 'yes';
my @archive = map { /^\S* ?[BCDRTVW] (\S+)$/ ? $1 : () }
    $has_archive ?
    output('nm', '-g', '--defined-only', "$made/libnpool.a") : ();

print "1..11\n";
same('in the map', [map { "$_->[0]\@\@$_->[1]" } @map],
    'in libnpool.so', [shown("$made/libnpool.so.0")],
    'libnpool.so shows what its map lists');
same('in the map', \@public, 'in the headers', [declared()],
    'the map lists what the public headers declare');
my @stray = grep { !/^np_/ } @private;
ok(!@stray, 'what only our own libraries may use begins with np_', @stray);
ok($private_node eq "NPOOL_${version}_PRIVATE",
    'and has this release in its version', "$private_node: not $version");
same('in the map', \@face, 'in libnpool-malloc.so',
    [shown("$made/libnpool-malloc.so")],
    'libnpool-malloc.so shows what its map lists, without versions');
if ($has_archive) {
	my %defined = map { $_ => 1 } @archive;
	@stray = grep { !/^npool_/ && !/^np_/ && !/^_/ } @archive;
	ok(@archive && !@stray,
	    'names in libnpool.a begin with np_ or npool_', @stray);
	@stray = grep { !$defined{$_} } @public;
	ok(@public && !@stray,
	    'libnpool.a defines all that the map lists', @stray);
} else {
	skip(2, 'configured with --disable-static');
}
ok(scalar(grep { /\(SONAME\).*\[libnpool\.so\.0\]/ } @dynamic),
    'the soname is libnpool.so.0', grep { /SONAME/ } @dynamic);
ok(scalar(grep { /\bNOW\b/ } @dynamic),
    'libnpool.so is bound at its start', @dynamic);
if ($sanitized) {
	skip(2, "a sanitizer's own calls and tables are in the way");
} else {
	my $n = grep { /_RELATIVE/ } output('readelf', '-rW',
	    "$made/libnpool.so.0");
	ok($n <= $relocations_most, "each process relocates at most " .
	    "$relocations_most addresses in libnpool.so", "they are $n");
	ok(!(grep { /__tls_get_addr/ } output('nm', '-D', "$made/libnpool.so.0"),
	    output('nm', '-D', "$made/libnpool-malloc.so")),
	    'no thread-local variable is reached by a call');
}
exit($failed != 0);
