#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The reference pages say what the code says: npool_options(7) has every
# option with the range, preset and unit of the table in lib/config.c, as
# `npool-stat --config` prints them, and no other; the pages of section 3 have
# the prototypes, fields and flags of the public headers, and no other.
# That pages are well-formed, and that there is one for each function, is
# claimed by t/man.t.
use strict;
use warnings;
use Cwd qw(abs_path getcwd);
use File::Basename qw(basename dirname);

my $source = $ENV{abs_top_srcdir} // abs_path(dirname($0) . '/..');
my $build = $ENV{abs_top_builddir}
    // (-e 'config.status' ? getcwd() : "$source/build");
my @claims; # [holds, claim, why...]

sub ok
{
	push @claims, [@_];
}

sub is
{
	my ($seen, $wanted, $claim) = @_;

	$seen //= '(nothing)';
	ok($seen eq $wanted, $claim, "seen:   $seen", "wanted: $wanted");
}

# Claims that two lists hold the same names, each of them once.
sub same
{
	my ($a_name, $a, $b_name, $b, $claim) = @_;
	my (%in_a, %in_b);

	$in_a{$_}++ for @$a;
	$in_b{$_}++ for @$b;
	my @why = ((map { "$_: only $a_name" } grep { !$in_b{$_} } sort @$a),
	    (map { "$_: only $b_name" } grep { !$in_a{$_} } sort @$b),
	    (map { "$_: twice $a_name" } grep { $in_a{$_} > 1 }
		sort keys %in_a),
	    (map { "$_: twice $b_name" } grep { $in_b{$_} > 1 }
		sort keys %in_b));
	ok(@$a && !@why, $claim, @why ? @why : "no names at all");
}

sub finish
{
	my ($n, $failed) = (0, 0);

	print '1..', scalar @claims, "\n";
	for my $claim (@claims) {
		my ($good, $text, @why) = @$claim;

		print $good ? '' : 'not ', 'ok ', ++$n, " - $text\n";
		next if $good;
		$failed++;
		print map { "# $_\n" } @why;
	}
	exit($failed != 0);
}

sub slurp
{
	my ($file) = @_;

	open my $in, '<', $file or die "$file: $!\n";
	local $/;
	return scalar <$in>;
}

# ---- pages ---------------------------------------------------------------

# A page's text: no comments, and what is escaped as it is printed.
sub page
{
	my ($text) = slurp("$source/man/$_[0]");

	$text =~ s/^\.\\".*\n//gm;
	$text =~ s/\\-/-/g;
	$text =~ s/\\\(dq/"/g;
	$text =~ s/\\&//g;
	return $text;
}

# What stands under .Sh NAME, up to the next.
sub section
{
	my ($text, $name) = @_;

	return $text =~ /^\.Sh \Q$name\E\n(.*?)(?=^\.Sh |\z)/ms ? $1 : '';
}

# The arguments of a macro: words, or what is quoted.
sub words
{
	return map { s/^"(.*)"$/$1/r } $_[0] =~ /"[^"]*"|\S+/g;
}

# The entries ".It MACRO NAME..." of a text: [what follows MACRO, the body]; the
# entries of lists within are part of the body.
sub entries
{
	my ($text, $macro) = @_;
	my $end = qr/^\.It $macro |^\.S[hs] |\z/m;
	my @found;

	push @found, [$1, $2]
	    while $text =~ /^\.It $macro ([^\n]*)\n(.*?)(?=$end)/gms;
	return @found;
}

# ---- the header ----------------------------------------------------------

sub no_comments
{
	my ($text) = @_;

	$text =~ s{/\*.*?\*/}{ }gs;
	return $text;
}

my $header = join '', map { no_comments(slurp($_)) }
    glob "$source/include/*.h";

# "char *text" for whatever spaces there are.
sub tidy
{
	my ($text) = @_;

	$text =~ s/\s+/ /g;
	$text =~ s/^ | $//g;
	$text =~ s/\* (?=\w)/*/g;
	return $text;
}

# The parameters of a pointer to a function, by their types.
sub unnamed
{
	return $_[0] =~ s/([ *])\w+(?=[,)])/$1/gr =~ s/ (?=[,)])//gr;
}

# The fields of a struct of the header: [type, name].
sub fields
{
	my ($struct) = @_;
	my ($body) = $header =~ /^struct \Q$struct\E \{(.*?)^\};/ms;

	return map { tidy($_) =~ /^(.*?)\(\*(\w+)\)(\(.*\))$/ ?
	    [tidy("$1(*)") . unnamed($3), $2] :
	    tidy($_) =~ /^(.*?[ *])(\w+)$/ ? [tidy($1), $2] : () }
	    split /;/, $body // '';
}

# The names that an enum of the header makes.
sub enumerated
{
	my ($body) = $header =~ /^enum \Q$_[0]\E \{(.*?)\};/ms;

	return ($body // '') =~ /\b(NPOOL_\w+)/g;
}

# Name of a function => "result name(parameters)".
sub declared
{
	my ($text) = $header;
	my %prototype;

	$text =~ s/^\s*#(?:[^\n]*\\\n)*[^\n]*//gm;
	for my $statement (split /[;{}]/, $text) {
		next if $statement !~
		    /\bNPOOL_API\b\s*(.*?)\b(npool_\w+)\s*\((.*?)\)/s;
		$prototype{$2} = tidy("$1 $2(") .
		    join(', ', map { tidy($_) } split /,/, $3) . ')';
	}
	return %prototype;
}

# The flags that are defined between two marks of the header.
sub flags_between
{
	my ($from, $to) = @_;
	my ($part) =
	    slurp("$source/include/npool.h") =~ /\Q$from\E(.*?)\Q$to\E/s;

	return grep { !/_$/ } ($part // '') =~ /^#define (NPOOL_\w+)/gm;
}

# ---- options -------------------------------------------------------------

# Of `npool-stat --config`, by name: value, preset, range, sentence.
sub printed_options
{
	my (%option, @order);

	local $ENV{NPOOL_CONF} = '';
	open my $pipe, '-|', "$build/tools/npool-stat", '--config'
	    or die "npool-stat: $!\n";
	local $/;
	my $text = <$pipe>;
	close $pipe or die "npool-stat --config: failed\n";
	while ($text =~ /^(\w+): (.*)\n\tpreset (.*?); (.*)\n\t(.*)\n/gm) {
		push @order, $1;
		$option{$1} = { preset => $3 eq '-' ? 'empty' : $3,
		    range => $4, sentence => $5 };
		$option{$1}{value} = $2 eq '-' ? 'empty' : $2;
	}
	return (\@order, \%option);
}

# The words of the page for the types and scopes of lib/config.h.
my %when = (FIXED => 'fixed', LIVE => 'live', PROCESS => 'process',
    PROCESS_LIVE => 'process, live');

# Adds the type and scope, which nothing prints, from the table itself.
sub add_source
{
	my ($option) = @_;
	my $table = no_comments(slurp("$source/lib/config.c"));

	while ($table =~ /\{ "(\w+)",\s+NP_OPT_(\w+),\s+NP_OPT_(\w+),/g) {
		$option->{$1}{type} = lc $2;
		$option->{$1}{when} = $when{$3};
	}
}

my ($order, $option) = printed_options();
add_source($option);

sub check_list
{
	my ($text) = @_;
	my @rows = map { [split / Ta /] } $text =~ /^\.It Cm (.* Ta .*)$/gm;
	my %row = map { $_->[0] => join ' | ', @$_ } @rows;

	same('in the list', [map { $_->[0] } @rows], 'in the table', $order,
	    'npool_options(7): the list has every option, and no other');
	is(join(' ', map { $_->[0] } @rows), "@$order",
	    'npool_options(7): the list is in the order of the table');
	for my $name (@$order) {
		my $o = $option->{$name};

		is($row{$name},
		    "$name | $o->{type} | $o->{when} | $o->{preset}",
		    "npool_options(7): $name: type, scope, preset in the list");
	}
}

sub check_entries
{
	my ($text) = @_;
	my @all = grep { $_->[0] !~ / Ta / } entries($text, 'Cm');
	my %body = map { $_->[0] => $_->[1] } @all;

	same('in the entries', [map { $_->[0] } @all], 'in the table', $order,
	    'npool_options(7): every option has an entry, and no other has');
	for my $name (@$order) {
		my $o = $option->{$name};
		my ($said, $rest) = split /^\.br\n/m, $body{$name} // '', 2;
		my ($facts) = ($rest // '') =~
		    /\A(Default: .*\.\nRange: .*\.\n.*\.\n)/;

		is(tidy($said // ''), $o->{sentence},
		    "npool_options(7): $name: what it does");
		is($facts, "Default: $o->{preset}.\nRange: $o->{range}.\n" .
		    ucfirst($o->{when}) . ".\n",
		    "npool_options(7): $name: preset, range, unit and scope");
	}
}

# Everywhere a person might copy it from.
sub check_examples
{
	my ($seen, @wrong) = (0);

	for my $file (glob("$source/man/*.[1-9]"), glob("$source/examples/*")) {
		my $text = slurp($file);

		while ($text =~ /\bNPOOL_CONF=["']?([a-z][\w:,.\/-]*)/g) {
			for my $part (split /,/, $1) {
				my ($key) = $part =~ /^([a-z_]+)(?::|$)/;

				$seen++;
				push @wrong, basename($file) . ": $part"
				    if !$key || !$option->{$key};
			}
		}
	}
	ok($seen && !@wrong, 'examples of NPOOL_CONF name options that are ' .
	    'there', "$seen options seen", @wrong);
}

# ---- attributes ----------------------------------------------------------

my %unit = (KiB => 1 << 10, MiB => 1 << 20, GiB => 1 << 30, TiB => 1 << 40);

# "0..64 TiB" as the table has it, "0..70368744177664 bytes"; then the unit of
# sizes is left out, since "All sizes are bytes" there.
sub in_bytes
{
	my ($text) = @_;

	$text =~ s/(\d+) ([KMGT]iB)/$1 * $unit{$2}/ge;
	$text =~ s/ bytes$//;
	return $text;
}

# Fields of an ".It Fa a , Fa b Pq Vt TYPE": pairs [type, name].
sub described
{
	my ($item) = @_;
	my ($names, $type) = $item =~ /^(.*?)(?: Pq Vt (.*))?$/;

	$type = $type ? join ' ', words($type) : undef;
	return map { [$type, $_] } grep { !/^(Fa|,)$/ } split / /, $names;
}

sub check_attribute
{
	my ($name, $body) = @_;
	my $o = $option->{$name};
	my ($default) = $body =~ /^Default:\s*(?:\.Dv )?(.*?) ?\.$/m;
	my ($range) = $body =~ /^Range: (.*)\.$/m;

	ok(defined $default || $name eq 'size',
	    "npool_create(3): $name has a default");
	return if !$o || $name eq 'nodes';
	if ($o->{type} eq 'word') {
		# The constants of some have its name's first word, too.
		is($default =~ s/^NPOOL_(?:HUGE_)?//r, uc $o->{preset},
		    "npool_create(3): $name: preset");
		return;
	}
	is(in_bytes($default // ''), $o->{preset},
	    "npool_create(3): $name: preset");
	is(in_bytes($range // ''), in_bytes($o->{range}),
	    "npool_create(3): $name: range");
}

sub check_attributes
{
	my ($page) = @_;
	my $text = section($page, 'ATTRIBUTES');
	my @fields = fields('npool_attr');
	my @said;

	for my $entry (entries($text, 'Fa')) {
		push @said, map { [@$_, $entry->[1]] } described($entry->[0]);
	}
	same('in the page', [map { "$_->[0] $_->[1]" } @said],
	    'in the header', [map { "$_->[0] $_->[1]" } @fields],
	    'npool_create(3): every field of struct npool_attr, by its type');
	check_attribute($_->[1], $_->[2]) for @said;
	my @flags = flags_between('npool_pressure_fn(', 'struct npool_attr {');
	same('in the page', [map { $_->[0] } entries($text, 'Dv')],
	    'in the header', [@flags, enumerated('npool_policy'),
	    enumerated('npool_classes'), enumerated('npool_huge_pages')],
	    'npool_create(3): every flag, and every word of the others');
}

# Options that npool_options(7) says no attribute has, and the rest.
sub check_counterparts
{
	my $text = section(page('npool_options.7'), 'OPTIONS AND ATTRIBUTES');
	my ($none) = $text =~ /^\.It none Ta Cm (.*)$/m;
	my ($bare) = $text =~ /^\.It Fa (.*) Ta none$/m;
	my %known = map { $_ => 1 } $text =~ / Ta Cm (\w+)$/gm;
	my %has = map { $_->[1] => 1 } fields('npool_attr');

	same('in the page', [grep { $_ ne ',' } split / /, $none // ''],
	    'without an attribute', [grep { $option->{$_}{when} =~ /process/ }
	    @$order],
	    'npool_options(7): which options no attribute stands for');
	same('in the page', [split / , /, $bare // ''],
	    'without an option', [qw(name pressure pressure_arg)],
	    'npool_options(7): which attributes no option stands for');
	my @lost = grep { $option->{$_}{when} !~ /process/ && !$has{$_} &&
	    !$known{$_} } @$order;
	ok(!@lost, 'every other option is an attribute, by its name or one ' .
	    'that is told', @lost);
}

# ---- functions -----------------------------------------------------------

# Of a SYNOPSIS, name => "result name(parameters)".
sub shown
{
	my ($text) = @_;
	my (%prototype, $result);

	$text =~ s/^\.Fo (\S+)\n((?:\.Fa .*\n)*)\.Fc\n/
	    ".Fn $1 " . join(' ', $2 =~ m{^\.Fa (.*)$}gm) . "\n"/gme;
	for my $line (split /\n/, $text) {
		$result = join ' ', words($1) if $line =~ /^\.Ft (.*)/;
		next if $line !~ /^\.Fn (\S+) ?(.*)/;
		$prototype{$1} = tidy("$result $1(") .
		    join(', ', words($2)) . ')';
	}
	return %prototype;
}

sub check_functions
{
	my %declared = declared();
	my (%shown, @named);

	for my $file (map { basename($_) } glob "$source/man/*.3") {
		my $text = page($file);
		next if $text =~ /^\.so /;
		my %here = shown(section($text, 'SYNOPSIS'));

		%shown = (%shown, %here);
		push @named, section($text, 'NAME') =~ /^\.Nm (\w+)/gm;
	}
	delete @shown{grep { /_fn$/ } keys %shown}; # types
	same('in a SYNOPSIS', [keys %shown], 'in the header', [keys %declared],
	    'section 3 has every function of the header, and no other');
	same('under a NAME', \@named, 'in the header', [keys %declared],
	    'each stands under one NAME');
	for my $name (sort keys %declared) {
		is($shown{$name}, $declared{$name}, "$name: its prototype");
		ok(-f "$source/man/$name.3", "man 3 $name leads to it");
	}
}

sub check_flags
{
	my $text = section(page('npool_alloc.3'), 'FLAGS');
	my @said = ((map { $_->[0] } entries($text, 'Dv')),
	    map { (words($_->[0]))[0] } entries($text, 'Fn'));

	same('in the page', \@said, 'in the header',
	    [flags_between('Flags of npool_alloc', 'void *npool_alloc(')],
	    'npool_alloc(3): every flag, and no other');
	$text = section(page('npool_create.3'), 'DESCRIPTION');
	same('in the page', [map { $_->[0] } entries($text, 'Dv')],
	    'in the header',
	    [flags_between('void npool_free_many(', 'int npool_reserve(')],
	    'npool_create(3): every flag of npool_reserve, and no other');
}

# Structs that the library fills in.
sub check_structs
{
	my $text = section(page('npool_create.3'), 'PRESSURE');
	my @said = map { $_->[1] =~ /^\.Pq Vt (\S+)/ ? "$1 $_->[0]" : $_->[0] }
	    entries($text, 'Fa');

	same('in the page', \@said, 'in the header',
	    [map { "$_->[0] $_->[1]" } fields('npool_pressure')],
	    'npool_create(3): every field of struct npool_pressure');
	$text = section(page('npool.3'), 'DESCRIPTION');
	is(join(' ', map { $_->[0] } entries($text, 'Fa')),
	    join(' ', map { $_->[1] } fields('npool_figures')),
	    'npool(3): every field of struct npool_figures, in its order');
}

# The structs of npool_objpool.h.
sub check_objpool
{
	my %section = (npool_objpool_figures => 'DESCRIPTION',
	    npool_objpool_attr => 'ATTRIBUTES');

	for my $struct (sort keys %section) {
		my $text = section(page('npool_objpool.3'), $section{$struct});
		my @said = map { described($_->[0]) } entries($text, 'Fa');

		is(join('; ', map { "$_->[0] $_->[1]" } @said),
		    join('; ', map { "$_->[0] $_->[1]" } fields($struct)),
		    "npool_objpool(3): every field of struct $struct, " .
		    'in its order');
	}
}

# The structs and enums of npool_chunk.h, each on its page.
sub check_chunks
{
	my %structs = (npool_shape => 'npool_chunk', npool_page => 'npool_page',
	    npool_class => 'npool_subpage', npool_supply => 'npool_chunklist');
	my $text = section(page('npool_page.3'), 'DESCRIPTION');

	for my $struct (sort keys %structs) {
		my $body = section(page("$structs{$struct}.3"), 'DESCRIPTION');
		my @said = map { described($_->[0]) } entries($body, 'Fa');

		is(join('; ', map { "$_->[0] $_->[1]" } @said),
		    join('; ', map { "$_->[0] $_->[1]" } fields($struct)),
		    "$structs{$struct}(3): every field of struct $struct, " .
		    'in its order');
	}
	same('in the page', [map { $_->[0] } entries($text, 'Dv')],
	    'in the header', [enumerated('npool_page_state')],
	    'npool_page(3): every state of a page');
	$text = section(page('npool_chunklist.3'), 'DESCRIPTION');
	same('in the page', [$text =~ /^\.It Dv (\w+) Ta /gm],
	    'in the header', [enumerated('npool_list')],
	    'npool_chunklist(3): every list');
}

check_list(section(page('npool_options.7'), 'THE OPTIONS'));
check_entries(section(page('npool_options.7'), 'THE OPTIONS'));
check_examples();
check_attributes(page('npool_create.3'));
check_counterparts();
check_functions();
check_flags();
check_structs();
check_chunks();
check_objpool();
finish();
