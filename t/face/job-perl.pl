# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# job-perl.pl - hashes, strings, sorts and forked children in Perl.
#
# Run by face-programs.t.  Perl orders hashes by a random seed, so every
# list taken from one is sorted before it is printed.
use strict;
use warnings;
use List::Util qw(sum shuffle);

sub digest { return unpack '%32C*', join "\0", @_ }
sub say_it
{
	my $what = shift;

	print "$what ", scalar @_, " ", digest(@_), "\n";
}

$| = 1;
srand 7;
my %count;
open my $lines, '<', "$ENV{INPUT}/lines.txt" or die "lines.txt: $!\n";
while (<$lines>) {
	my ($number, @word) = split;
	push @{ $count{$word[0]}{$word[1]} }, $number;
	last if $. > 100_000;
}
close $lines;
say_it('words', map { my $w = $_; map { "$w $_ @{ $count{$w}{$_} }" }
    sort keys %{ $count{$w} } } sort keys %count);
delete $count{$_} for grep { /^[a-m]/ } keys %count;
say_it('left', sort keys %count);

my @rows = map { [int rand 1e6, 'r' x int rand 300] } 1 .. 50_000;
say_it('rows', map { "$_->[0] $_->[1]" }
    sort { $a->[0] <=> $b->[0] || $a->[1] cmp $b->[1] } shuffle @rows);

my $text = '';
$text .= chr(65 + $_ % 26) x (1 + $_ % 50) for 1 .. 200_000;
(my $turned = $text) =~ s/([A-M]+)([N-Z]+)/$2$1/g;
say_it('text', length $text, $turned);

for my $child (1 .. 5) {
	my $pid = open(my $pipe, '-|') // die "fork: $!\n";
	if (!$pid) {
		my @own = map { "$child $_ " . 'c' x ($_ % 100) } 1 .. 20_000;
		undef @rows;
		print join("\n", reverse @own), "\n";
		exit 0;
	}
	say_it("child $child", <$pipe>);
	close $pipe or die "child $child failed\n";
}
