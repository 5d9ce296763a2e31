#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-stat around real processes: it is not felt by the command, says what
# the command did, and leaves nothing behind.  That the figures are right to
# the last piece is claimed by t/stat-read.t, which can be asked; here they
# must fit together, and fit what the processes did.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;

my $stat = build_dir() . '/tools/npool-stat';
my $page = source_dir() . '/man/npool-stat.1';
my $has_json = ($ENV{NPOOL_TEST_JSON} // 'yes') ne 'no';
my $can_decode = $has_json && eval { require JSON::PP };
my $perl = $^X;
my ($tmp, $n);

delete $ENV{NPOOL_FACE};

# ---- running -------------------------------------------------------------

# stat_run(how, options and command...): what came of it: code, signal (of
# npool-stat itself), out, err.
sub stat_run
{
	my ($how, @args) = @_;
	my $to = "$tmp/run" . ++$n;
	my %env = (NPOOL_CONF => '', %{ $how->{env} // {} });
	my $pid = start(cmd => [$stat, @args], out => "$to.out",
	    err => "$to.err", env => \%env);

	$how->{meanwhile}->($pid, $to) if $how->{meanwhile};
	my $status = finish($pid, 60);
	stop($pid, 'KILL') if !defined $status;
	$status //= 9;
	return { code => $status >> 8, signal => $status & 127,
	    out => slurp("$to.out"), err => slurp("$to.err") };
}

# Claims the exit code, and what standard error says.
sub ends
{
	my ($run, $code, $says, $claim) = @_;

	ok($run->{code} == $code && !$run->{signal} && $run->{err} =~ $says,
	    $claim, "exit code $run->{code}, wanted $code; signal " .
	    "$run->{signal}", "wanted on standard error: $says",
	    $run->{err});
}

# json_of(how, arguments): the run, and the JSON that it printed.
sub json_of
{
	my ($how, @args) = @_;
	my $file = "$tmp/json" . ++$n;
	my $run = stat_run($how, '-j', '-o', $file, @args);

	$run->{json} = eval { JSON::PP->new->decode(slurp($file)) } // {};
	return $run;
}

sub number_is
{
	my ($seen, $wanted, $claim) = @_;

	$seen //= '(none)';
	ok($seen eq $wanted, $claim, "seen $seen, wanted $wanted");
}

# The folders that npool-stat makes while it runs.
sub left_behind
{
	return glob "$tmp/rt/*";
}

# ---- the command line ----------------------------------------------------

sub test_usage
{
	ends(stat_run({}, '--help'), 0, qr/^$/, '--help is no error');
	like(stat_run({}, '--version')->{out}, qr/^npool-stat .*\d\.\d+\.\d+$/m,
	    '--version prints the version');
	ends(stat_run({}, '--'), 2, qr/which command/,
	    'behind -- there is a command');
	ends(stat_run({}, 'true', 'x'), 2, qr/INTERVAL is seconds.*put --/s,
	    'a command without -- is a name, and what follows no interval');
	ends(stat_run({}, '1', '1', '0'), 2, qr/COUNT/,
	    'a count is at least 1');
	ends(stat_run({}, '1', '1', '-m'), 2, qr/views, --svg and -v/,
	    'rates have no map; options may stand behind');
	ends(stat_run({}, '--colour', '--', 'true'), 2, qr/--colour/,
	    'an unknown option is named');
	ends(stat_run({}, '-o'), 2, qr/requires an argument|needs/,
	    '-o needs a file');
	ends(stat_run({}, '--read', $tmp, '--', 'true'), 2, qr/--read/,
	    '--read and a command exclude each other');
	ends(stat_run({}, '-o', "$tmp/no/such", '--', 'touch',
	    "$tmp/was-run"), 125, qr/no\/such: No such file/, 'an output that cannot be is told');
	ok(!-e "$tmp/was-run", 'and nothing was run');
	ends(stat_run({}, '-L', "$tmp/none.so", '--', 'true'), 125,
	    qr/none\.so.*--face.*NPOOL_FACE/s,
	    'a face that is not there is told, and what to do');
	ends(stat_run({ env => { NPOOL_FACE => "$tmp/nor.so" } }, '--',
	    'true'), 125, qr/nor\.so/, 'NPOOL_FACE names a face');
	ends(stat_run({}, '--', "$tmp/no-such-program"), 127, qr/No such file/,
	    'a command that is not there is 127');
	spew("$tmp/data", 'no program');
	ends(stat_run({}, '--', "$tmp/data"), 126, qr/Permission denied/,
	    'a command that cannot be run is 126');
}

sub like
{
	my ($seen, $wanted, $claim) = @_;

	ok($seen =~ $wanted, $claim, "wanted $wanted, seen:", $seen);
}

sub test_config
{
	my $how = { env => { NPOOL_CONF => 'decay_ms:5,classes:netty' } };
	my $run = stat_run($how, '--config');
	my %value = $run->{out} =~ /^(\w+): (.*)$/mg;

	ends($run, 0, qr/^$/, '--config is content with good options');
	is($value{decay_ms}, 5, 'it prints the value in force');
	is($value{classes}, 'netty', 'words as words');
	like($run->{out}, qr/^page_size:\ 8192\n
	    \tpreset\ 8192;.*4096\.\.1048576\ bytes\n\tSize\ of/mx,
	    'preset, range, unit and sentence stand beside it');
	ends(stat_run({ env => { NPOOL_CONF => 'decay_ms:soon' } }, '--config'),
	    1, qr/'soon' is no value for decay_ms/,
	    'a value that cannot be is told, by message and exit code');
	return if !need_json(1);
	my $json = json_of($how, '--', 'true')->{json};
	my %seen = map { split /:/, $_, 2 }
	    split /,/, $json->{processes}[0]{options} // '';
	$seen{segment} = '';
	$seen{$_} eq '' and $seen{$_} = '-' for keys %seen;
	is(join(' ', map { "$_=$seen{$_}" } sort keys %seen),
	    join(' ', map { "$_=$value{$_}" } sort keys %value),
	    'a process has the options that --config prints');
}

# ---- not to be felt ------------------------------------------------------

sub test_passing
{
	for my $code (0, 1, 42, 255) {
		ends(stat_run({}, '--', $perl, '-e', "exit $code"), $code,
		    qr/exit code $code$/m, "exit code $code is passed on");
	}
	ends(stat_run({}, '--', $perl, '-e', 'kill 9, $$; sleep 9'), 137,
	    qr/ended by signal 9 /, 'death by SIGKILL is 137, and told');
	ends(stat_run({}, '--', $perl, '-e', 'kill 15, $$; sleep 9'), 143,
	    qr/ended by signal 15 /, 'death by SIGTERM is 143, and told');
	my $run = stat_run({}, '--', $perl, '-e',
	    'print "out\n"; print STDERR "err\n"; print "@ARGV\n"', '--', '-j');
	is($run->{out}, "out\n-j\n", "the command's output is its own");
	like($run->{err}, qr/^err\n/, 'so are its errors, before the table');
}

# What the command finds in its environment.
sub test_environment
{
	my $show = 'print "$ENV{LD_PRELOAD} $ENV{NPOOL_CONF}"';
	my $old = (slurp('/proc/self/maps') =~ m{(/\S*libm[.-]\S*)})[0]
	    // face();
	my $run = stat_run({ env => { LD_PRELOAD => $old,
	    NPOOL_CONF => 'decay_ms:7' } }, '--', $perl, '-e', $show);
	my ($preload, $conf) = split / /, $run->{out};

	is($preload, face() . ":$old", 'the face comes first in LD_PRELOAD');
	like($conf, qr{^decay_ms:7,segment:/.*/npool-stat\.......$},
	    'NPOOL_CONF keeps what it has and gets a segment');
	$show = '($d) = $ENV{NPOOL_CONF} =~ /segment:(.*)/; printf "%s %o %s"' .
	    ', $d, (stat $d)[2], -e "$d/$$.0" ? "seen" : "not"';
	$run = stat_run({}, '--', $perl, '-e', $show);
	like($run->{out}, qr{^\Q$tmp\E/rt/npool-stat\....... 40700 seen$},
	    'the segment is in a private folder in XDG_RUNTIME_DIR');
	is(join(' ', left_behind()), '', 'which is gone afterwards');
	mkdir "$tmp/c,omma";
	$run = stat_run({ env => { XDG_RUNTIME_DIR => "$tmp/c,omma" } },
	    '--', $perl, '-e', $show);
	like($run->{out}, qr{^/(dev/shm|.*tmp.*)/npool-stat\.\w{6} 40700 seen$},
	    'a folder with a comma in its name is passed over');
}

# Masks and dispositions, as the kernel shows them.
sub test_signal_state
{
	my $show = 'print grep { /^Sig(Blk|Ign|Cgt)/ } <>';
	my @show = ($perl, '-e', $show, '/proc/self/status');
	local $SIG{CHLD} = 'IGNORE';
	local $SIG{USR2} = 'IGNORE';
	open my $plain, '-|', @show or die "$perl: $!\n";
	my $wanted = join '', <$plain>;

	close $plain;
	open my $pipe, '-|', $stat, '-o', "$tmp/table", '--', @show
	    or die "$stat: $!\n";
	my $seen = join '', <$pipe>;
	close $pipe;
	is($seen, $wanted, 'the command gets the signal mask and dispositions' .
	    ' that npool-stat got');
	like(slurp("$tmp/table"), qr/exit code 0/,
	    'an ignored SIGCHLD does not lose the exit code');
}

# signalled(SIGNAL, seconds): a command that says which signal it got, or that
# it got none for so long.
sub signalled
{
	my ($signal, $seconds) = @_;
	my $code = '$| = 1; $SIG{$_} = sub { print "got $_[0]\n"; exit 5 } ' .
	    'for qw(HUP TERM USR1 USR2 INT QUIT); print "ready\n"; sleep 1 ' .
	    "for 1 .. $seconds; " . 'print "slept\n"; exit 6';

	return stat_run({ meanwhile => sub {
		my ($pid, $to) = @_;

		wait_for(20, sub { slurp("$to.out") =~ /ready/ });
		kill $signal, $pid;
	} }, '--', $perl, '-e', $code);
}

sub test_signals
{
	for my $signal (qw(HUP TERM USR1 USR2)) {
		my $run = signalled($signal, 60);

		is("$run->{code} $run->{out}", "5 ready\ngot $signal\n",
		    "SIG$signal is sent on to the command");
	}
	for my $signal (qw(INT QUIT)) {
		my $run = signalled($signal, 2);

		is("$run->{code} $run->{out}", "6 ready\nslept\n",
		    "SIG$signal is left to the terminal");
	}
}

# ---- what it says --------------------------------------------------------

# Perl that has $count strings of some size.
sub hold
{
	my ($count) = @_;

	return "my \@x = map { q(y) x (100 + \$_ % 3000) } 1 .. $count;";
}

sub test_table
{
	my $run = stat_run({}, '--report', '-m', '-v', '--', $perl, '-e',
	    hold(20000));
	my @wide = grep { length > 80 } split /\n/, $run->{err};

	is("@wide", '', 'no line is wider than 80 columns');
	for my $part ('node kernel cpus threads', 'arena node threads chunks',
	    'arena node +tiny', 'calls +allocations \d',
	    'caches +hits \d+\.\d%', 'depots', 'memory +reserved \d',
	    'pages +asked \d', 'size kind +allocated', 'pid program') {
		like($run->{err}, qr/^\s*$part/m, "the table has: $part");
	}
	like($run->{err}, qr/^chunk \d+ at 0x[0-9a-f]+ of \S+ \(process \d+,/m,
	    'a chunk is drawn');
	like($run->{err}, qr/^ +0  [.#=A-Za-z]{64}$/m, 'in rows of 64 pages');
	like($run->{err}, qr/^  Hh   subpage.* 2048 bytes$/m,
	    'with a legend');
	$run = stat_run({}, '-o', "$tmp/table", '--', $perl, '-e', '1');
	is($run->{err}, '', 'with -o nothing goes to standard error');
	like(slurp("$tmp/table"), qr/^npool-stat: \Q$perl\E -e 1$/m,
	    'the table goes to the file');
	$run = stat_run({ env => { NPOOL_CONF => 'nodes:2' } }, '--', $perl,
	    '-e', '1');
	like($run->{err}, qr/^ +1 +- .* -$/m,
	    'an invented node has no number, and no share on it');
	like($run->{err}, qr{^distances\n  by\\of +0 +1\n +0 +10 +20\n +1 +20 +10\n}m,
	    'between two nodes there are matrices');
	my ($libc) = slurp('/proc/self/maps') =~ m{(/\S*libc[.-]\S*)};
	ends(stat_run({}, '-L', $libc, '--', $perl, '-e', 'exit 3'), 3,
	    qr/no process used the malloc face/,
	    'a command without the face is told, its exit code passed on');
}

# need_json(n): true when JSON can be printed and read.
sub need_json
{
	my ($claims) = @_;

	return 1 if $can_decode;
	skip($claims, $has_json ? 'needs the package perl-modules'
	    : 'built without JSON');
	return 0;
}

sub test_no_json
{
	if ($has_json) {
		skip(1, 'built with JSON');
		return;
	}
	ends(stat_run({}, '-j', '--', 'touch', "$tmp/was-run"), 2,
	    qr/without JSON/, '-j of a build without JSON says so');
}

# Whoever has the memory of a node: all of it is what is used there.
sub test_flows
{
	return if !need_json(4);
	my $json = json_of({ env => { NPOOL_CONF => 'nodes:2' } }, '--', $perl,
	    '-e', hold(20000))->{json};

	is(join(' ', map { "$_->{by_node}$_->{of_node}:$_->{distance}" }
	    @{ $json->{flows} }), '00:10 01:20 10:20 11:10',
	    'flows between each two nodes, with distances');
	for my $node (0, 1) {
		number_is(sum([ grep { $_->{of_node} == $node }
		    @{ $json->{flows} } ], 'in_use'),
		    $json->{nodes}[$node]{used},
		    "what all threads have of node $node is used");
	}
	number_is(sum($json->{flows}, 'sent'), $json->{totals}{foreign_frees},
	    'what was sent home are the foreign frees');
}

sub sum
{
	my ($rows, $key) = @_;
	my $sum = 0;

	$sum += $_->{$key} for @{ $rows // [] };
	return $sum;
}

sub test_json
{
	return if !need_json(11);
	my $json = json_of({}, '--', $perl, '-e', hold(20000))->{json};
	my $t = $json->{totals};

	is("@{ $json->{command} // [] }[0, 1]", "$perl -e",
	    'the command is there');
	number_is($json->{exit_code}, 0, 'and its exit code');
	ok($t->{allocs} >= 20000, 'allocations are counted',
	    "$t->{allocs} of 20000");
	number_is($t->{hits} + $t->{misses}, $t->{allocs},
	    'each was a hit or a miss');
	number_is($t->{used} + $t->{cached}, $t->{taken},
	    'taken is used or cached');
	for my $key (qw(used taken reserved)) {
		number_is(sum($json->{nodes}, $key), $t->{$key},
		    "$key of the nodes is that of all");
	}
	number_is(sum($json->{classes}, 'allocs'), $t->{allocs},
	    'allocations of the classes are those of all');
	ok($t->{reserved} >= $t->{peak_taken}, 'what was taken was reserved',
	    "$t->{reserved} and $t->{peak_taken}");
	my $node = $json->{nodes}[0] // {};
	my $known = @{ $json->{nodes} } == 1 && defined $node->{kernel_node} &&
	    !defined $json->{pages_error};
	my $wanted = $known ? $t->{pages_resident} : 0;
	ok($t->{pages_local} <= $t->{pages_resident} && (!$known ||
	    ($wanted && $t->{pages_local} == $wanted)),
	    'with one node, all pages in memory are on it',
	    "local $t->{pages_local}, in memory $t->{pages_resident}");
}

# The keys of a value of JSON, however deep.
sub keys_of
{
	my ($value) = @_;

	return map { keys_of($_) } @$value if ref $value eq 'ARRAY';
	return map { ($_, keys_of($value->{$_})) } keys %$value
	    if ref $value eq 'HASH';
	return ();
}

sub test_keys
{
	return if !need_json(3);
	my $json = json_of({}, '--report', qw(--threads --lists --verify -m
	    --chunk 0 --), $perl, '-e', hold(1000) . 'sleep 1')->{json};
	my $text = slurp($page);
	my %key = map { $_ => 1 } keys_of($json);
	my @dark = grep { $text !~ /^\.(It )?Li [^\n]*\b$_\b/m } sort keys %key;
	my $chunk = $json->{chunks}[0] // {};

	ok(keys %key > 50 && !@dark, 'npool-stat(1) has every key of the JSON',
	    "not there: @dark", scalar(keys %key) . ' keys');
	number_is(length($chunk->{map} // ''),
	    $chunk->{size} / $chunk->{page_size},
	    'the map has a character a page');
	number_is($chunk->{run_pages} + $chunk->{subpage_pages} +
	    $chunk->{free_pages}, length $chunk->{map},
	    'every page is of a run, of a subpage or free');
}

# ---- views ---------------------------------------------------------------

# leave_segment(code): a folder with the segment of a program that has ended.
sub leave_segment
{
	my ($code) = @_;
	my $dir = "$tmp/left" . ++$n;

	mkdir $dir;
	run(cmd => [$perl, '-e', $code], face => 1,
	    env => { NPOOL_CONF => "segment:$dir" });
	return $dir;
}

my %view = (
	nodes => qr/^node kernel cpus threads/m,
	arenas => qr/^arena node threads chunks/m,
	classes => qr/^ +size kind +allocated/m,
	threads => qr/^ *\d+ +others default +0 +\d+ +\d/m,
	lists => qr/^arena \d+ on node 0 .*\n^list .*\n^q\w+ +\d+ +[0-9a-f]+ /m,
	chunk => qr/^depth 0 .*\n^ {5} 1 .*\n^ {5} 2 /m,
	map => qr/^ +0  [.#=A-Za-z]{64}$/m,
	verify => qr/^node kernel +pages +in memory/m,
);
my %argument = (chunk => [0]);

sub test_views
{
	my $dir = leave_segment(hold(20000));
	my %all = map { $_ => stat_run({}, "--$_", @{ $argument{$_} // [] },
	    '--read', $dir)->{out} } sort keys %view;

	for my $name (sort keys %view) {
		my @also = grep { $all{$name} =~ $view{$_} } sort keys %view;
		my @wide = grep { length > 80 } split /\n/, $all{$name};
		my $wanted = $name eq 'chunk' ? 'chunk map' : $name;

		is("@also", $wanted, "--$name shows what it says, no more");
		is("@wide", '', "--$name: no line is wider than 80 columns");
	}
	like($all{chunk}, qr{^subpages: .*\n( *\d+ +\d+/\d+ +x +[\d.]+ K?i?B)+$}m,
	    '--chunk tells how far each subpage is filled');
	my ($address) = $all{chunk} =~ /^chunk 0 at (0x[0-9a-f]+) of /m;
	my $by_address = stat_run({}, '--chunk', $address, '--read', $dir);
	is($by_address->{out}, $all{chunk}, 'an address finds its chunk');
	like(stat_run({}, '--chunk', 99, '--read', $dir)->{out},
	    qr/there is no chunk 0x63; --lists/, 'one that is not there is told');
	my $both = stat_run({}, '--nodes', '--map', '--read', $dir)->{out};
	ok($both =~ $view{nodes} && $both =~ $view{map},
	    'two views are shown one after the other', $both);
}

sub test_views_usage
{
	ends(stat_run({}, '--chunk', 'q050', 'true'), 2,
	    qr/--chunk needs a number/, '--chunk wants a number');
	ends(stat_run({}, '--color', 'blue', 'true'), 2,
	    qr/auto, always or never/, '--color has three words');
}

sub test_views_in_json
{
	my %keys = (nodes => 'flows nodes', lists => 'chunks', map => 'chunks',
	    chunk => 'chunks', verify => 'places');
	my $key = qr/^(nodes|flows|arenas|classes|threads|places|chunks)$/;

	return if !need_json(2 + keys %view);
	my $dir = leave_segment(hold(20000));
	for my $name (sort keys %view) {
		my $json = json_of({}, "--$name", @{ $argument{$name} // [] },
		    '--read', $dir)->{json};

		is(join(' ', grep { /$key/ } sort keys %$json),
		    $keys{$name} // $name, "-j --$name has what it says");
	}
	my $json = json_of({}, '--lists', '--threads', '--chunk', 0, '--read',
	    $dir)->{json};
	number_is(sum($json->{threads}, 'cached') +
	    sum(json_of({}, '--read', $dir)->{json}{nodes}, 'depot_bytes'),
	    $json->{totals}{cached}, 'what the threads and depots cache is all');
	my ($chunk) = grep { $_->{chunk} == 0 } @{ $json->{chunks} };
	my $free = grep { $_ <= 11 } @{ $chunk->{tree} // [] }[2047 .. 4094];
	number_is($free, $chunk->{free_pages},
	    'free pages are the free leaves of the tree');
}

# terminal(environment, arguments): what npool-stat prints on one.
sub terminal
{
	my ($env, @args) = @_;
	my $file = "$tmp/tty" . ++$n;

	run(cmd => ['script', '-qec', "$stat @args", $file],
	    out => "$tmp/script.out", env => { %$env });
	return slurp($file);
}

sub test_colours
{
	my $dir = leave_segment(hold(1000));
	my @map = ('--map', '--read', $dir);
	my $colour = qr/\e\[38;5;\d+m/;

	like(stat_run({}, '--color=always', @map)->{out}, $colour,
	    'a map can be coloured');
	my $plain = stat_run({}, @map)->{out};
	my $stripped = stat_run({}, '--color=always', @map)->{out};
	$stripped =~ s/\e\[[\d;]*m//g;
	ok($plain !~ $colour, 'in a file it is not, by itself', $plain);
	is($stripped, $plain, 'colours are all the difference');
	return if !needs(4, script => 'bsdutils');
	like(terminal({ TERM => 'xterm' }, @map), $colour,
	    'on a terminal it is');
	ok(terminal({ TERM => 'dumb' }, @map) !~ $colour,
	    'but not on a dumb one');
	ok(terminal({ TERM => 'xterm', NO_COLOR => 1 }, @map) !~ $colour,
	    'nor with NO_COLOR');
	ok(terminal({ TERM => 'xterm' }, '--color=never', @map) !~ $colour,
	    'nor with --color=never');
}

# What the picture of chunks says: pages of pieces, and of free stretches.
sub pages_in_picture
{
	my ($svg, $cell, $gap) = @_;
	my $pages = 0;

	$pages += $1 while $svg =~ /<title>page \d+, (\d+) long: /g;
	while ($svg =~ /<rect class="f" x="[^"]+" y="([^"]+)" width="([^"]+)"/g)
	{
		$pages += sprintf '%.0f', ($2 + 2 * $gap) / $cell if $1 > 100;
	}
	return $pages;
}

sub test_svg
{
	my $dir = leave_segment(hold(20000));
	my $file = "$tmp/chunks.svg";
	my $run = stat_run({}, '--svg', $file, '--read', $dir);
	my $svg = slurp($file);
	my ($n) = $svg =~ />(\d+) chunks?</;

	like($run->{out}, qr/^caches +hits/m, 'a picture is drawn beside a report');
	ok(($n // 0) > 1, 'of all chunks', substr $svg, 0, 3000);
	number_is(pages_in_picture($svg, 1088 / 128, .4), 2048 * ($n // 0),
	    'with every page');
	stat_run({}, '--chunk', 0, '--svg', $file, '--read', $dir);
	my $one = slurp($file);
	number_is(pages_in_picture($one, 17, .8), 2048, 'or of one alone');
	my $nodes = () = $one =~ /<rect class="n[fpn]" /g;
	number_is($nodes, 127 + 3, 'with seven levels of its tree');
	ends(stat_run({}, '--svg', "$tmp/no/such", '--', 'true'), 125,
	    qr/no\/such: No such file/, 'a file that cannot be is told');
	return if !needs(1, python3 => 'python3');
	number_is(run(cmd => ['python3', '-c', 'import sys, xml.dom.minidom as' .
	    ' d; [d.parse(f) for f in sys.argv[1:]]', $file]), 0,
	    'it is well-formed');
}

# Pages of a process that are in memory.
sub resident
{
	return (split / /, slurp("/proc/$_[0]/statm"))[1];
}

sub test_verify
{
	my $dir = "$tmp/live";

	mkdir $dir;
	my $pid = start(cmd => [$perl, '-e', hold(20000) .
	    '$| = 1; print "ready\n"; sleep 60'], face => 1,
	    out => "$tmp/live.out", env => { NPOOL_CONF => "segment:$dir" });
	wait_for(20, sub { slurp("$tmp/live.out") =~ /ready/ });
	my $before = resident($pid);
	my $run = stat_run({}, '--verify', '--read', $dir);
	my $after = resident($pid);
	run(cmd => [build_dir() . '/t/numa/denied.t', '--run', $stat,
	    '--verify', '--read', $dir], out => "$tmp/denied");
	stop($pid, 'KILL');
	ends($run, 0, qr/^$/, 'a running process is asked for all its pages');
	number_is($after, $before, 'which touches none');
	my ($pages, $resident, $share, $elsewhere) = $run->{out} =~
	    /^ +0 +\S+ +(\d+) +(\d+) +(\S+)  (.*)$/m;
	ok(($resident // 0) > 20000 * 1000 / 4096 && $resident < $pages,
	    'those that it wrote to are in memory', $run->{out});
	ok(-e '/sys/devices/system/node/node1' || $run->{out} =~ /asked:/ ||
	    ($share eq '-' && $elsewhere =~ /^$resident on 0$/) ||
	    ($share eq '100.0%' && $elsewhere eq '-'),
	    'on the one node that there is', $run->{out});
	my ($other) = slurp("$tmp/denied") =~ /^ +0 +\S+ +\d+ +(\d+) /m;
	number_is($other, $resident, 'where that is denied, numa_maps says so');
	like(stat_run({}, '--verify', '--read', $dir)->{out},
	    qr/no process could be asked/, 'one that was killed cannot be');
}

# The headings in the examples of npool-stat(1) are those that are printed.
sub test_page
{
	my @blocks = slurp($page) =~ /^\.Bd -literal[^\n]*\n(.*?)^\.Ed$/msg;
	my %heading = map { $_ => 1 } grep { /^ *[a-z]+[: ] *\S/i && !/\d/ &&
	    !/\*allocs|^q quit/ } map { split /\n/ } @blocks;
	my $pid = start(cmd => [$perl, '-e', hold(5000) . '$y = q(z) x 3e7;' .
	    '$| = 1; print "ready\n"; sleep 60'], face => 1,
	    out => "$tmp/page.out");

	wait_for(20, sub { slurp("$tmp/page.out") =~ /ready/ });
	my $said = join '', map { stat_run({}, @$_)->{out} } [],
	    [$pid, 0.01, 1], [qw(--threads --lists --chunk 0 --verify), $pid];
	stop($pid, 'KILL');
	my %said = map { $_ => 1 } split /\n/, $said;
	my @stale = grep { !$said{$_} } sort keys %heading;

	ok(keys %heading > 7 && !@stale,
	    'npool-stat(1) has the headings that are printed',
	    'not printed:', @stale, 'all:', sort keys %heading);
}

# ---- several processes ---------------------------------------------------

sub test_children
{
	return if !need_json(8);
	my $json = json_of({}, '--', $perl, '-e', 'for (1 .. 3) { ' .
	    'if (!fork) {' . hold(5000) . 'exit } } 1 while wait > 0')->{json};
	my $t = $json->{totals};

	number_is($t->{processes}, 4, 'three children and their parent');
	number_is($t->{forks}, 3, 'three forks');
	ok($t->{allocs} >= 15000, "the children's allocations are added",
	    "$t->{allocs} of 15000");
	my ($parent) = grep { $_->{forks} == 3 } @{ $json->{processes} };
	my $theirs = grep { ($_->{parent} // 0) == $parent->{pid} }
	    @{ $json->{processes} };
	number_is($theirs, 3, 'each child names its parent');
	ok($t->{allocs} < 2 * 15000 + 4 * $parent->{allocs},
	    'what a child has inherited is not counted again',
	    "$t->{allocs}, the parent's are $parent->{allocs}");
	$json = json_of({}, '--', 'sh', '-c', "exec $perl -e 1")->{json};
	number_is(join(' ', map { $_->{program_number} }
	    @{ $json->{processes} }), '0 1',
	    'a process that ran two programs is told twice');
	number_is(join(' ', map { $_->{state} } @{ $json->{processes} }),
	    'gone ended', 'the first is gone by exec');
	number_is(scalar(keys %{{ map { $_->{pid} => 1 }
	    @{ $json->{processes} } }}), 1, 'both have one process id');
}

sub test_children_in_table
{
	my $fork = 'fork for 1 .. 2; 1 while wait > 0';
	my $run = stat_run({}, '--children', '--', $perl, '-e', $fork);
	my @rows = $run->{err} =~ /^ *\d+ perl +ended /mg;

	number_is(scalar @rows, 4, 'with --children each has a line');
	$run = stat_run({}, '--', $perl, '-e', $fork);
	@rows = $run->{err} =~ /^ *\d+ perl +ended /mg;
	number_is(scalar @rows, 0, 'without, they are added up');
}

sub test_killed
{
	return if !need_json(4);
	my $json = json_of({}, '--', $perl, '-e', hold(20000) .
	    'select undef, undef, undef, 0.7; kill 9, $$')->{json};
	my $t = $json->{totals};

	number_is($json->{signal}, 9, 'a killed command is read all the same');
	number_is($json->{processes}[0]{state}, 'gone', 'and told as gone');
	ok($t->{used} > 20000 * 1000, 'what it had is known',
	    "$t->{used} bytes used");
	my $ask = !defined $json->{pages_error} &&
	    defined $json->{nodes}[0]{kernel_node};
	ok(!$ask || $t->{pages_resident} > 100, 'and where its pages were',
	    "$t->{pages_resident} pages in memory");
}

sub test_running
{
	my $code = 'if (!($pid = fork)) {' . hold(1000) . 'open STDIN, q(<),' .
	    'q(/dev/null); $| = 1; print "ready\n"; sleep 30; exit }' .
	    '1 while !-s $ARGV[0]; open F, ">$ARGV[0].pid"; print F $pid';
	my $out = "$tmp/run" . ($n + 1) . '.out';
	my $run = stat_run({}, '--', $perl, '-e', $code, $out);
	my $pid = slurp("$out.pid");

	ends($run, 0, qr/^  1 process still running/m,
	    'a process that outlives the command is counted, and told');
	ok($pid && kill(0, $pid), 'it does outlive it', "process '$pid'");
	kill 'KILL', $pid if $pid;
	is(join(' ', left_behind()), '', 'its folder is gone');
}

# ---- pools of one's own --------------------------------------------------

# A server with a pool, which is ended in the midst of work: how it goes on is
# of no concern to the pool, whose segment stays.
sub serve
{
	my $meanwhile = sub {
		my ($pid, $to) = @_;

		wait_for(20, sub { slurp("$to.out") =~ /^port \d/m });
		kill 'USR1', $pid;
	};

	# Not examples/echo-server: libtool's script would count, too.
	return stat_run({ meanwhile => $meanwhile,
	    env => { LD_LIBRARY_PATH => build_dir() . '/lib/.libs' } },
	    @_, '--', build_dir() . '/examples/.libs/echo-server', '-t', 1);
}

sub test_pools_in_table
{
	my $run = serve('-o', "$tmp/pools");
	my $plain = slurp("$tmp/pools");

	ends($run, 138, qr/^$/, 'a server that has a pool is ended');
	like($plain, qr/^ +pid pool .*\n +\d+ echo +0 /m,
	    'a pool of its own is in the table of pools');
	like($plain, qr/^  1 process: 0 left/m, 'it is no process more');
	ok($plain !~ /^ +\d+ default /m, 'the default pool is not there',
	    $plain);
	serve('-v', '-o', "$tmp/pools");
	my $all = slurp("$tmp/pools");
	like($all, qr/^ +\d+ default .*\n +\d+ echo /m, 'but with -v it is');
	my @rows = $all =~ /^ +\d+ \S*echo-serv\S* +gone /mg;
	number_is(scalar @rows, 1, 'among the processes the server is one');
	stat_run({}, '-o', "$tmp/pools", '--', $perl, '-e', '1');
	ok(slurp("$tmp/pools") !~ /pid pool/, 'without a pool of its own ' .
	    'there is no such table', slurp("$tmp/pools"));
}

sub test_pools_in_json
{
	return if !need_json(5);
	serve('-j', '-o', "$tmp/pools");
	my $json = eval { JSON::PP->new->decode(slurp("$tmp/pools")) } // {};
	my @all = grep { $_->{program} =~ /echo-serv/ }
	    @{ $json->{processes} };
	my ($default, $echo) = @all;

	number_is(join(' ', map { $_->{pool} } @all), 'default echo',
	    'each pool of a process is told by its name');
	number_is($echo->{pid}, $default->{pid}, 'both are of one process');
	number_is($echo->{program_number}, $default->{program_number},
	    'and of one program');
	number_is($json->{totals}{processes} + 1,
	    scalar @{ $json->{processes} }, 'which the totals count once');
	number_is(sum($json->{processes}, 'reserved'),
	    $json->{totals}{reserved}, 'with what both have');
}

# ---- segments that are wrong, and --read ---------------------------------

sub test_spoilt
{
	my $spoil = 'my ($d) = $ENV{NPOOL_CONF} =~ /segment:(.*)/; ' .
	    'open F, "+<", "$d/$$.0" or die; print F "x" x 4096; close F; ' .
	    'exit 4';
	my $run = stat_run({}, '--', $perl, '-e', $spoil);

	ends($run, 4, qr/segment \d+\.0 is skipped: not a segment/,
	    'a process that spoils its segment spoils no more');
	like($run->{err}, qr/no segment could be read/,
	    'the table is not there, and says why');
	is(join(' ', left_behind()), '', 'its folder is gone, too');
}

sub test_read
{
	my $dir = "$tmp/segments";

	mkdir $dir;
	ends(stat_run({}, '--read', "$tmp/none"), 125, qr/No such file/,
	    'a folder that is not there is told');
	ends(stat_run({}, '--read', $dir), 125, qr/no segment/,
	    'and one without a segment');
	for (1 .. 2) {
		run(cmd => [$perl, '-e', hold(100)], face => 1,
		    env => { NPOOL_CONF => "segment:$dir" });
	}
	my @files = glob "$dir/*.0";
	my $run = stat_run({}, '--read', $dir);
	number_is(scalar @files, 2, 'two programs left their segments');
	ends($run, 0, qr/^$/, 'they can be read later');
	like($run->{out}, qr/^  2 processes: 2 left by exit/m,
	    'on standard output');
	truncate $files[0], 5000;
	$run = stat_run({}, '--read', $dir);
	ends($run, 1, qr/is skipped: cut off/, 'a spoilt one is skipped');
	like($run->{out},
	    qr/^  1 process: 1 left by exit.*^  1 segment skipped/ms,
	    'the other is counted');
}

plan(119 + 1 + 2 + 20 + 10 + 7 + 7 + 6);
$tmp = tmpdir();
mkdir "$tmp/rt";
$ENV{XDG_RUNTIME_DIR} = "$tmp/rt";
test_usage();
test_config();
test_passing();
test_environment();
test_signal_state();
test_signals();
test_table();
test_no_json();
test_json();
test_flows();
test_keys();
test_views_usage();
test_views();
test_views_in_json();
test_colours();
test_svg();
test_verify();
test_page();
test_children();
test_children_in_table();
test_killed();
test_running();
test_pools_in_table();
test_pools_in_json();
test_spoilt();
test_read();
