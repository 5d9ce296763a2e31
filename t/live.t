#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-stat looks into processes that run, and know nothing of it: whatever
# they did with their descriptors, their root, their namespaces; and never into
# one that is gone.  That the figures are right to the last piece is claimed by
# t/stat-live.t, which can be asked.
use strict;
use warnings;
use File::Basename qw(dirname);
use POSIX qw(WNOHANG);
use lib dirname(__FILE__);
use face;

my $stat = build_dir() . '/tools/npool-stat';
my $has_json = ($ENV{NPOOL_TEST_JSON} // 'yes') ne 'no';
my $can_decode = $has_json && eval { require JSON::PP };
my $perl = $^X;
my $is_root = $> == 0;
my ($tmp, $n);

# ---- running -------------------------------------------------------------

# stat_run(arguments): what came of it: code, out, err.
sub stat_run
{
	my (@args) = @_;
	my $to = "$tmp/run" . ++$n;
	my $code = run(cmd => [$stat, @args], out => "$to.out",
	    err => "$to.err", seconds => 60);

	return { code => $code, out => slurp("$to.out"),
	    err => slurp("$to.err") };
}

sub like
{
	my ($seen, $wanted, $claim) = @_;

	ok($seen =~ $wanted, $claim, "wanted $wanted, seen:", $seen);
}

sub unlike
{
	my ($seen, $not_wanted, $claim) = @_;

	ok($seen !~ $not_wanted, $claim, "not wanted $not_wanted, seen:",
	    $seen);
}

# serve(name, what it does when it is ready, how, before): a process of that
# name on the face, with 8 MiB in 8000 strings; "before" goes before it.
sub serve
{
	my ($name, $then, $how, @before) = @_;
	my $out = "$tmp/serve" . ++$n;
	my $code = "\$0 = '$name'; \$| = 1; use POSIX; " .
	    'my @x = map { q(y) x 1000 } 1 .. 8000; ' .
	    "$then; print qq(ready\\n); sleep 1 while 1";
	my $pid = start(cmd => [@before, $perl, '-e', $code], face => 1,
	    out => $out, env => { NPOOL_CONF => '', %{ $how // {} } });

	wait_for(20, sub { slurp($out) =~ /ready/ || !alive($pid) });
	ok(0, "$name is ready", slurp($out)) if slurp($out) !~ /ready/;
	return $pid;
}

# The rows of the list that have this name.
sub rows
{
	my ($name) = @_;

	return grep { /^ *\d+ \Q$name\E / } split /\n/, stat_run()->{out};
}

# Claims that a process is in the list, as this one, with what it has.
sub is_seen
{
	my ($name, $pid, $claim) = @_;
	my @rows = rows($name);

	my $wanted = qr/^ *$pid \S+ +\d+ +1 +\d\S* MiB +(8|9|1.)\.\d+ MiB /;

	ok(@rows == 1 && $rows[0] =~ $wanted, $claim, "process $pid", @rows);
}

# ---- the list ------------------------------------------------------------

sub test_list
{
	my $pid = serve('np-list', '1');
	my $list = stat_run();

	is($list->{code}, 0, 'without an argument it lists');
	like($list->{out}, qr/^ +pid command +nodes threads +reserved/,
	    'with a heading');
	is_seen('np-list', $pid, 'a process on the face');
	like((rows('np-list'))[0], qr/ +\d+\.\d% +(\d+\.\d%|-)$/,
	    'with its hit rate and what is local');
	is(join(' ', grep { length > 80 } split /\n/, $list->{out}), '',
	    'no line is wider than 80 columns');
	stop($pid, 'KILL');
	is(scalar(rows('np-list')), 0, 'killed it is there no more');
	$pid = serve('np-off', '1', { NPOOL_CONF => 'stats:off' });
	like((rows('np-off'))[0], qr/^ *$pid np-off +shows no counters/,
	    'one with stats:off is listed, and shows nothing');
	like(stat_run($pid)->{err},
	    qr/^npool-stat: process $pid: shows no counters: .*off.*\n\z/,
	    'looked at, it is told why');
	stop($pid, 'KILL');
	mkdir "$tmp/files";
	$pid = serve('np-lost', '1', { NPOOL_CONF => "segment:$tmp/files" });
	is_seen('np-lost', $pid, 'one that counts in a file is seen');
	unlink glob "$tmp/files/*";
	like((rows('np-lost'))[0],
	    qr/^ *$pid np-lost +counts in a file that was removed/,
	    'and when the file was removed the list says so');
	stop($pid, 'KILL');
}

# Shared memory of processes that are gone: of who was killed while making a
# segment, and of others, which only look like it.  In a namespace where no
# other test is making any.
sub test_clean
{
	return skip(7, 'needs root, unshare(1) and the right to use it')
	    if !can_unshare('--ipc');
	my %made = (left => '0x4e500001, 22 << 20, 0600', # shmget(2)
	    'of another key' => '0x6e500001, 22 << 20, 0600',
	    'that others may read' => '0x4e500002, 22 << 20, 0640',
	    'too small' => '0x4e500003, 4096, 0600',
	    'with contents' => '0x4e500004, 22 << 20, 0600',
	    'with contents at its end' => '0x4e500005, 22 << 20, 0600');
	my %at = ('with contents' => 0,
	    'with contents at its end' => (22 << 20) - 1);
	my @code;
	for my $what (sort keys %made) {
		my $write = defined $at{$what} ?
		    "shmwrite \$id, q(x), $at{$what}, 1 or die \$!" : '';

		push @code, "if (!fork) { \$id = shmget $made{$what} | 01000;" .
		    "defined \$id or die \$!; $write; exit } wait; " .
		    '$? and exit 1; ';
	}
	my $show = 'open F, q(/proc/sysvipc/shm); print <F>; close F; ';
	run(cmd => ['unshare', '--ipc', $perl, '-e', "\$| = 1; @code $show" .
	    'print qq(then\n); system shift; ' . $show, $stat],
	    out => "$tmp/clean");
	my ($before, $after) = split /^then$/m, slurp("$tmp/clean");
	is(scalar(() = $before =~ /^ *1[38]/mg), 6, 'six are there');
	for my $what (sort keys %made) {
		my ($key) = map { hex } $made{$what} =~ /^(\w+)/;
		my $stays = $what ne 'left';

		is(scalar(() = ($after // '') =~ /^ *$key /mg), $stays ? 1 : 0,
		    $stays ? "shared memory $what stays"
		    : 'what was left is removed by the next list');
	}
}

# ---- one process ---------------------------------------------------------

sub test_one
{
	my $pid = serve('np-one', '1');
	my $run = stat_run('--report', '-m', $pid);

	is($run->{code}, 0, 'a process id gives the full view');
	like($run->{out}, qr/^npool-stat: process $pid \(np-one\), as it is/,
	    'which says whose it is');
	for my $part ('node kernel cpus', 'calls +allocations \d', 'chunk \d+ at 0x',
	    'size kind +allocated') {
		like($run->{out}, qr/^ *$part/m, "it has: $part");
	}
	$run = stat_run('np-one');
	like($run->{out}, qr/^npool-stat: process $pid /, 'so does a name');
	my $other = serve('np-one', '1');
	$run = stat_run('-v', 'np-one');
	like($run->{out}, qr/^npool-stat: 2 processes called np-one/,
	    'of two processes with one name all is added up');
	my $both = qr/^ *$pid np-one +running .*\n *$other np-one/m;
	like($run->{out}, $both, 'with -v each has a line');
	like(stat_run('--children', 'np-one')->{out}, $both,
	    'with --children too');
	stop($_, 'KILL') for $pid, $other;
	like(stat_run($pid)->{err},
	    qr/^npool-stat: process $pid: there is no such process\n\z/,
	    'one that is gone is told');
	is(stat_run($pid)->{code}, 1, 'by exit code 1');
	like(stat_run('np-one')->{err}, qr/no process of this name.*put --/,
	    'so is a name that nobody has');
	like(stat_run($$)->{err}, qr/does not use npool/,
	    'and a process that does not use npool');
}

# ---- rates ---------------------------------------------------------------

sub test_rates_as_json
{
	my ($pid) = @_;
	return skip(1, 'needs JSON') if !$can_decode;
	my $to = "$tmp/json";
	my $watcher = start(cmd => [$stat, '-j', $pid, '0.1'], out => $to);

	ok(wait_for(60, sub {
		# The first is about the time since the process began.
		my (undef, @lines) = map { JSON::PP->new->decode($_) }
		    slurp($to) =~ /.+\n/g;

		return grep { $_->{per_second}{allocs} > 0 &&
		    $_->{elapsed_ms} >= 90 } @lines;
	}), 'JSON, a line each interval', slurp($to));
	stop($watcher, 'KILL');
}

sub test_rates
{
	my $pid = serve('np-rates', 'if (!fork) { exit } wait; ' .
	    'print qq(ready\n); @y = (q(z) x 500, @y[0 .. 99]) while 1');
	my $run = stat_run($pid, '0.2', '3');
	my @lines = split /\n/, $run->{out};

	is($run->{code}, 0, 'rates end after so many lines');
	is(scalar @lines, 4, 'a heading, and a line each interval');
	like($lines[0], qr/^threads +reserved +used +cached +allocs\/s/,
	    'the heading');
	my $head = qr/^ +1 +\d\S* MiB +\d\S* MiB +\S+ \S+/m;
	my $rate = qr/(?:\d+|[\d.]+ [MG])/;
	ok(!(grep { !/$head +$rate +$rate +\S+ +$rate +\S+$/ } @lines[1 .. 3]),
	    'each with all figures', @lines);
	# Who gets no CPU has rates of 0 for some lines.
	my $to = "$tmp/watch";
	my $watcher = start(cmd => [$stat, $pid, '0.05'], out => "$to.out",
	    err => "$to.err");
	ok(wait_for(60, sub { slurp("$to.out") =~
	    /$head +[1-9][\d.]*(?: [MG])? +[1-9]/ }),
	    'the rates of one that works', slurp("$to.out"));
	test_rates_as_json($pid);
	my $other = serve('np-rates', 'print qq(ready\n); ' .
	    '@y = (q(z) x 500, @y[0 .. 99]) while 1');
	my $both = start(cmd => [$stat, 'np-rates', '0.05'],
	    out => "$to.both");
	my @all;
	my $lines = sub {
		@all = grep { !/^threads/ } slurp("$to.both") =~ /.+\n/g;
		return @all;
	};
	wait_for(20, sub { $lines->() > 3 });
	stop($other, 'KILL');
	my $then = $lines->();
	wait_for(20, sub { $lines->() > $then + 3 &&
	    grep { !/^( +\S+ [KM]?i?B| *\d+){4} +0 / } @all[$then .. $#all] });
	stop($both, 'KILL');
	# Less than nothing would be nearly 2^64: 18.4 E.
	my @rates = map { /^ *\d+(?: +\S+ [KM]?i?B){3} +(\d+|[\d.]+ [MG]) / }
	    @all;
	ok(@rates > 5 && @rates == @all && (grep { $_ ne '0' }
	    @rates[$then .. $#rates]),
	    'of two of a name one ends, and the other one\'s rates are told',
	    @all);
	stop($pid, 'KILL');
	is((finish($watcher, 20) // -1) >> 8, 1,
	    'when the process ends, it ends');
	like(slurp("$to.err"), qr/^npool-stat: process $pid: .*\n\z/,
	    'and says so');
}

# Shared memory that one of these processes has made and that is still there.
sub left_of
{
	my %made = map { $_ => 1 } @_;
	my @left;

	for (split /\n/, slurp('/proc/sysvipc/shm')) {
		my (undef, $id, undef, undef, $maker) = split;

		push @left, "$id of $maker" if defined $maker && $made{$maker};
	}
	return @left;
}

# Readers that are stopped, and others that are killed, at any moment: the
# process, which forks now and then, does not notice.  Whoever was stopped still
# has its segment when it has ended; with the last of them that goes.
sub test_reader
{
	my $count = "$tmp/count";
	my $pid = serve('np-read', 'print qq(ready\n); ' .
	    '$SIG{CHLD} = q(IGNORE); while (1) {' .
	    '@y = map { q(z) x $_ } 1 .. 500; exit if !fork;' .
	    'open F, q(>), q(' . $count . '); print F ++$i; close F }');
	my $moves = sub {
		my $from = slurp($count) || 0;

		return wait_for(20, sub { (slurp($count) || 0) > $from + 3 });
	};
	my (%good, @readers);

	srand 4711;
	for my $n (1 .. 60) {
		my $signal = $n % 2 ? 'STOP' : 'KILL';
		my $reader = start(cmd => [$stat, '--report', '--map', '-v',
		    $pid], out => "$tmp/reader");

		select undef, undef, undef, rand 0.02;
		kill $signal, $reader;
		push @readers, $reader;
		$good{$signal} = ($good{$signal} // 1) && $moves->()
		    if $n % 10 > 7;
	}
	for my $signal (qw(STOP KILL)) {
		ok($good{$signal} && alive($pid), "readers that get " .
		    "SIG$signal do not disturb the process");
	}
	stop($pid, 'KILL');
	is(join(' ', left_of(@readers)), '',
	    'no reader has made shared memory');
	stop($_, 'KILL') for @readers;
	ok(wait_for(20, sub { !left_of($pid) }),
	    'and when the last has gone nothing is left of the process',
	    left_of($pid));
}

# ---- where processes are --------------------------------------------------

sub test_places
{
	my $pid = serve('np-daemon', 'print qq(ready\n); ' .
	    'POSIX::close($_) for 0 .. 1023');
	is_seen('np-daemon', $pid, 'one that has closed all its descriptors');
	stop($pid, 'KILL');

	$pid = serve('np-parent', '$0 = q(np-child) if !fork');
	wait_for(20, sub { rows('np-child') });
	my ($child) = ((rows('np-child'))[0] // '') =~ /^ *(\d+)/;
	is_seen('np-parent', $pid, 'one that forked');
	is_seen('np-child', $child // 0, 'and its child');
	stop($pid, 'KILL');
	kill 'KILL', $child if $child;

	$pid = serve('np-exec', "exec q($perl), q(-e), q(" .
	    'use POSIX; $0 = q(np-again); $| = 1; my @x = map { q(y) x 1000 }' .
	    ' 1 .. 8000; print qq(ready\n); sleep 1 while 1)');
	is_seen('np-again', $pid, 'one that went on with exec');
	is(scalar(rows('np-exec')), 0, 'not what it was before');
	stop($pid, 'KILL');
}

# A server whose children exit, or execute a program, while we look.
sub test_forker
{
	my $pid = serve('np-forker', 'print qq(ready\n); $SIG{CHLD} = q(IGNORE);' .
	    'while (1) { for (1, 2) { next if fork; exit if $_ == 1; ' .
	    "exec q(true) } select undef, undef, undef, 0.002 }");
	my %codes;

	for (1 .. 150) {
		my $run = stat_run('--report', 'np-forker');

		$codes{"$run->{code} $run->{err}"}++;
	}
	is(join(', ', sort keys %codes), '0 ',
	    'children that end meanwhile are nothing to complain of');
	stop($pid, 'KILL');
}

sub test_chroot
{
	return skip(1, 'chroot needs root') if !$is_root;
	mkdir "$tmp/empty";
	my $pid = serve('np-chroot', "chroot q($tmp/empty) or die; chdir q(/)");

	is_seen('np-chroot', $pid, 'one in another root');
	stop($pid, 'KILL');
}

# can_unshare(options): may we make such namespaces?
sub can_unshare
{
	return $is_root && !missing('unshare') &&
	    run(cmd => ['unshare', @_, 'true'], out => '/dev/null') eq '0';
}

sub test_container
{
	my @unshare = ('unshare', '--mount', '--pid', '--ipc', '--fork',
	    '--mount-proc');
	return skip(5, 'needs root, unshare(1) and the right to use it')
	    if !can_unshare(@unshare[1 .. $#unshare]);
	serve('np-box', '1', {}, @unshare);
	my ($pid) = ((rows('np-box'))[0] // '') =~ /^ *(\d+)/;

	is_seen('np-box', $pid // 0, 'one in a container, seen from outside');
	like(stat_run($pid // 0)->{out}, qr/^npool-stat: process $pid /,
	    'by the process id that it has here');
	is(stat_run($pid // 0, '0.05', '2')->{code}, 0, 'its rates too');
	my $ours = serve('np-host', '1');
	is_seen('np-host', $ours, 'beside one that is in none');
	run(cmd => ['nsenter', '-t', $pid // 0, '-i', '-p', '-m', $stat,
	    'np-box'], out => "$tmp/inside");
	like(slurp("$tmp/inside"), qr/^npool-stat: process 1 \(np-box\)/,
	    'and seen from inside');
	stop($ours, 'KILL');
	kill 'KILL', $pid if $pid;
}

# What shared memory there is, is of no account to the process.
sub test_none
{
	return skip(2, 'needs root, unshare(1) and the right to use it')
	    if !can_unshare('--ipc', '--mount');
	my $pid = serve('np-none', '1', {}, 'unshare', '--ipc', 'sh', '-c',
	    'echo 0 >/proc/sys/kernel/shmmni; exec "$@"', 'sh');
	like((rows('np-none'))[0],
	    qr/^ *$pid np-none +shows no counters: .* no shared memory/,
	    'without shared memory a process works, and is not seen');
	stop($pid, 'KILL');
	$pid = serve('np-noshm', '1', {}, 'unshare', '--mount', 'sh', '-c',
	    'mount -t tmpfs -o ro none /dev/shm; exec "$@"', 'sh');
	is_seen('np-noshm', $pid,
	    'a /dev/shm that is full or missing is of no account');
	stop($pid, 'KILL');
}

# Whose segment is a file dies if it is cut short; but this one has neither a
# name nor a descriptor by which a process of the same user could do it.
sub test_cut
{
	my @nobody = $is_root ? ('setpriv', '--reuid=65534', '--regid=65534',
	    '--clear-groups') : ();

	return skip(2, 'needs setpriv(1)') if $is_root && missing('setpriv');
	return skip(2, 'nobody cannot read what was built here')
	    if run(cmd => [@nobody, 'test', '-r', face()], out => "$tmp/cut.0");
	my $pid = serve('np-cut', '1', {}, @nobody);
	my ($range) = slurp("/proc/$pid/maps") =~
	    /^([0-9a-f]+-[0-9a-f]+) rw-s .* \/SYSV4e50/m;
	my $cut = "/proc/$pid/map_files/" . ($range // 'none');
	my $code = run(cmd => [@nobody, $perl, '-e',
	    'truncate(shift, 0) or die "$!\n"', $cut], out => "$tmp/cut.1");

	ok($range && $code && slurp("$tmp/cut.1") =~ /not permitted|denied/,
	    'a segment cannot be cut short', "$cut: exit code $code",
	    slurp("$tmp/cut.1"));
	is_seen('np-cut', $pid, 'and its process lives');
	stop($pid, 'KILL');
}

sub test_other_user
{
	return skip(3, 'needs root and setpriv(1)')
	    if !$is_root || missing('setpriv');
	my @nobody = ('setpriv', '--reuid=65534', '--regid=65534',
	    '--clear-groups');
	my $pid = serve('np-root', '1');
	my $to = "$tmp/nobody";

	return skip(3, 'nobody cannot run npool-stat here')
	    if run(cmd => [@nobody, $stat, '--version'], out => "$to.0");
	run(cmd => [@nobody, $stat], out => "$to.1");
	unlike(slurp("$to.1"), qr/np-root/, "another user's is not listed");
	is(run(cmd => [@nobody, $stat, $pid], out => "$to.2"), 1,
	    'nor looked into');
	like(slurp("$to.2"),
	    qr/^npool-stat: process $pid: Permission denied\n\z/,
	    'which is told in a line');
	stop($pid, 'KILL');
}

# ---- JSON ----------------------------------------------------------------

sub test_json
{
	return skip(3, 'needs JSON') if !$can_decode;
	my $pid = serve('np-json', '1');
	my $list = eval { JSON::PP->new->decode(stat_run('-j')->{out}) } // {};
	my ($row) = grep { $_->{pid} == $pid } @{ $list->{processes} };

	ok($row && $row->{program} eq 'np-json' && $row->{used} > 8000000 &&
	    $row->{nodes} >= 1, 'the list as JSON');
	my $one = eval { JSON::PP->new->decode(stat_run('-j', $pid)->{out}) };
	is($one->{totals}{used}, $row->{used}, 'one process as JSON, the same');
	my $page = slurp(source_dir() . '/man/npool-stat.1');
	my @dark = grep { $page !~ /^\.(It )?Li [^\n]*\b$_\b/m } keys %$row;
	is("@dark", '', 'npool-stat(1) has the keys of the list');
	stop($pid, 'KILL');
}

plan(66);
$tmp = tmpdir();
test_list();
test_clean();
test_one();
test_rates();
test_reader();
test_places();
test_forker();
test_chroot();
test_container();
test_none();
test_cut();
test_other_user();
test_json();
