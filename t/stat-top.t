#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-stat --top on screens of 80x24 and 200x60, which tmux provides: what
# stands where, keys, other sizes, and that the terminal is afterwards as it
# was, however it ended.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;

my $stat = build_dir() . '/tools/npool-stat';
my $has_curses = ($ENV{NPOOL_TEST_NCURSES} // 'yes') ne 'no';
my $claims = 47;
my $tmp = tmpdir();
my $dir = "$tmp/segments";
my ($width, $height);

# ---- a screen ------------------------------------------------------------

sub tmux
{
	run(cmd => ['tmux', '-S', "$tmp/socket", '-f', '/dev/null', @_],
	    out => "$tmp/tmux.out", err => "$tmp/tmux.err",
	    env => { TERM => 'xterm', TMUX => '' });
	return slurp("$tmp/tmux.out");
}

END { tmux('kill-server') if $tmp && -S "$tmp/socket" }

sub open_screen
{
	($width, $height) = @_;
	tmux(qw(new-session -d -x), $width, '-y', $height, 'PS1="> " sh');
	tmux(qw(set -g default-terminal screen-256color));
}

sub resize
{
	($width, $height) = @_;
	tmux(qw(resize-window -x), $width, '-y', $height);
}

sub screen { return tmux(qw(capture-pane -p)) }

# The screen's rows; the first is 0.
sub rows { return split /\n/, screen(), -1 }

# shows(pattern, claim): sooner or later.
sub shows
{
	my ($pattern, $claim) = @_;
	my $seen;

	ok(wait_for(20, sub { ($seen = screen()) =~ $pattern }), $claim,
	    "wanted $pattern, seen:", $seen);
	return $seen;
}

sub type { tmux('send-keys', @_) }

my $runs = 0;

sub start_top
{
	my (@args) = @_;

	$runs++;
	type("stty -a >$tmp/before; $stat --top @args; echo code \$?-$runs; " .
	    "stty -a >$tmp/after; echo done-$runs", 'Enter');
}

# has_ended(code, claim): with this exit code, and the terminal as it was.
sub has_ended
{
	my ($code, $claim) = @_;
	my $seen = shows(qr/^code $code-$runs\ndone-$runs$/m, $claim);
	my ($before, $after) = map { slurp("$tmp/$_") } qw(before after);

	s/(rows|columns) \d+//g for $before, $after;
	is($after, $before, 'and the terminal is as it was');
}

# ---- what is shown -------------------------------------------------------

my $foot = qr/^q quit  c classes .*  _ hold$/;
my $bar = qr/^  0 \[#+\+*\.* *\] +[\d.]+ \w+ \+ +[\d.]+ \w+ of +[\d.]+ \w+/m;

sub test_screen
{
	my ($wide, $high) = @_;

	open_screen($wide, $high);
	start_top('--read', $dir);
	shows(qr/nodes: # used/, "${wide}x$high: a screen is shown");
	my @rows;
	wait_for(20, sub { (@rows = rows())[$high - 1] =~ $foot });
	like($rows[$high - 1], $foot, 'with the keys in its last row');
	like($rows[0], qr/^npool-stat --top: perl \(\d+\) .* \d\d:\d\d:\d\d$/,
	    'whose it is, and when');
	like(join("\n", @rows), $bar, 'a bar for the node');
	my $table = join "\n", @rows;
	like($table, qr/^arenas: .*\n  0 \[#+\.* *\] +[\d.]+ \w+ of/m,
	    'one for an arena');
	like($table, qr/^ +size kind +\*allocs\/s .*\n +\d+ \w+ +\d+ /m,
	    'and classes');
	my $report = report();
	my ($used) = $report =~ /^ +used ([^,]+), cached /m;
	my ($cached) = $report =~ /^ +used [^,]+, cached ([^,]+),/m;
	like($rows[1], qr/^used \Q$used\E, cached \Q$cached\E of .* huge \d+$/,
	    'the figures are those of the report, and all have room');
}

sub report
{
	run(cmd => [$stat, '--read', $dir], out => "$tmp/report");
	return slurp("$tmp/report");
}

sub like
{
	my ($seen, $wanted, $claim) = @_;

	ok($seen =~ $wanted, $claim, "wanted $wanted, seen:", $seen);
}

# Of the column with the asterisk, the values from above.
sub sorted_values
{
	my ($table) = screen() =~ /^( *size kind.*)/ms or return;
	my ($head, @lines) = split /\n/, $table;
	my $end = index($head, '*') + index(substr($head, index($head, '*')) .
	    ' ', ' ');

	pop @lines;
	return map { (split ' ', substr $_, 0, $end)[-1] } grep { /\S/ } @lines;
}

# becomes_sorted(order, claim): sooner or later. Returns what it has then.
sub becomes_sorted
{
	my ($order, $claim) = @_;
	my @seen;

	ok(wait_for(20, sub {
		@seen = sorted_values();
		return @seen > 5 && "@seen" eq join ' ', sort $order @seen;
	}), $claim, "@seen");
	return @seen;
}

sub test_keys
{
	type('t');
	shows(qr/^ +pid  thread pool.*\n +\d+ +\d+ default /m, 't: threads');
	type('a');
	shows(qr/^arena .*\n +0 of node 0 /m, 'a: arenas');
	type('p');
	shows(qr/^ +pid program.*\n +\d+ perl +\d/m, 'p: pools');
	type('Tab');
	shows(qr/^ +size kind .*\*allocs/m, 'a tabulator: the next');
	type('>');
	shows(qr/ allocs\/s +\*frees\/s/, '>: sorted by the next column');
	type('<', '<');
	shows(qr/ \*allocs$/m, '<: the one before; round the end');
	becomes_sorted(sub { $b <=> $a }, 'the largest is first');
	type('r');
	my @rising = becomes_sorted(sub { $a <=> $b }, 'r: the smallest is');
	type('Down', 'Down');
	ok(wait_for(20, sub { ((sorted_values())[0] // '') eq $rising[2] }),
	    'down: the lines go up', join(' ', @rising),
	    join(' ', sorted_values()));
	type('-');
	shows(qr/every +0\.5 s/, '-: looks twice as often');
	type('Space');
	shows(qr/^npool-stat .* HELD every/m, 'a blank: no more');
	type('Space');
}

sub test_sizes
{
	resize(120, 30);
	ok(wait_for(20, sub { ((rows())[29] // '') =~ $foot }),
	    'a larger screen is filled', screen());
	resize(40, 8);
	shows(qr/^needs 60 x 12$/m, 'one too small is told');
	resize(80, 24);
	ok(wait_for(20, sub { ((rows())[23] // '') =~ $foot }),
	    'and all comes back', screen());
}

sub test_ends
{
	type('q');
	has_ended(0, 'q: it ends');
	start_top('--read', $dir);
	shows(qr/nodes: # used/, 'it comes again');
	type('C-c');
	has_ended(130, 'SIGINT ends it');
	start_top('--read', $dir);
	shows(qr/nodes: # used/, 'and again');
	kill 'TERM', top_pid();
	has_ended(143, 'SIGTERM ends it');
}

# The child of the screen's shell.
sub top_pid
{
	my ($shell) = tmux(qw(display -p), '#{pane_pid}') =~ /^(\d+)/;

	return (split / /, slurp("/proc/$shell/task/$shell/children"))[0];
}

# A process that runs, by its number and by none; and then it ends.
sub test_live
{
	my $pid = start(cmd => [$^X, '-e', '@x = map { q(y) x $_ } 1 .. 999;' .
	    '$| = 1; print "ready\n"; sleep 100'], face => 1,
	    out => "$tmp/ready");

	wait_for(20, sub { slurp("$tmp/ready") =~ /ready/ });
	start_top();
	shows(qr/nodes: # used/, 'without a process it has all');
	type('p');
	shows(qr/^ +$pid perl /m, 'among them one that runs');
	type('q');
	has_ended(0, 'it ends');
	start_top($pid, '0.2');
	shows(qr/^npool-stat --top: perl \($pid\) .* every +0\.2 s /,
	    'a process is looked at each interval');
	stop($pid, 'KILL');
	shows(qr/no such process/i, 'it is told when it has ended');
	like(screen(), qr/^used \d.*\n.*\n.*\n^nodes: # used/m,
	    'its last figures stay');
	type('q');
	has_ended(0, 'until the key');
}

sub test_no_screen
{
	my $says = sub { return slurp("$tmp/err") };
	my $status = run(cmd => [$stat, '--top', '--read', $dir],
	    out => "$tmp/out", err => "$tmp/err");

	ok($status == 2 && $says->() =~ /needs a terminal/,
	    'without a terminal there is none', $says->());
	# A program that takes the terminal drops what was typed before.
	start_top('--read', $dir, '2>&1');
	wait_for(20, sub { screen() =~ /nodes: # used/ });
	type('q');
	wait_for(20, sub { screen() =~ /^done-$runs$/m });
	type('clear', 'Enter');
	type("TERM=nonsense $stat --top --read $dir", 'Enter');
	shows(qr/type, 'nonsense', is not known/, 'nor on an unknown one');
}

sub test_without_curses
{
	my $status = run(cmd => [$stat, '--top', '--read', $dir],
	    out => "$tmp/out", err => "$tmp/err");

	ok($status == 2 && slurp("$tmp/err") =~ /without --top/,
	    'a build without --top says so', slurp("$tmp/err"));
	skip($claims - 1, 'built without ncurses');
}

plan($claims);
mkdir $dir;
run(cmd => [$^X, '-e', '@x = map { q(y) x ($_ % 3000) } 1 .. 20000;'],
    face => 1, env => { NPOOL_CONF => "segment:$dir" });
if (!$has_curses) {
	test_without_curses();
} elsif (needs($claims, tmux => 'tmux')) {
	test_screen(200, 60);
	tmux('kill-server');
	test_screen(80, 24);
	test_keys();
	test_sizes();
	test_ends();
	test_live();
	test_no_screen();
}
