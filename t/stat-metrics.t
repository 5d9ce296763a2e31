#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-stat --openmetrics: what it prints is Prometheus' text format, says
# what -j says, of the same segments, and leaves out no figure; and no counter
# falls while processes come and go.  promtool is asked where it is installed
# (Debian package prometheus).
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;

my $stat = build_dir() . '/tools/npool-stat';
my $tmp = tmpdir();
my $dir = "$tmp/segments";

# What npool-stat prints of the folder of segments.
sub printed
{
	my $status = run(cmd => [$stat, @_, '--read', $dir],
	    out => "$tmp/out", err => "$tmp/err");

	return wantarray ? ($status, slurp("$tmp/err")) : slurp("$tmp/out");
}

# families(text): name => { type, help, lines => { labels => value } }; and
# what is wrong with the text.
sub families
{
	my (%family, @wrong, $now);

	for my $line (split /\n/, $_[0]) {
		if ($line =~ /^# HELP (npool_\w+) \S.*\.$/) {
			push @wrong, $line if $family{$1};
			$now = $family{$1} = { name => $1, lines => {} };
		} elsif ($line =~ /^# TYPE (\w+) (counter|gauge)$/) {
			my ($name, $type) = ($1, $2);

			push @wrong, $line if $name ne $now->{name} ||
			    $now->{type} ||
			    ($type eq 'counter') != ($name =~ /_total$/);
			$now->{type} = $type;
		} elsif ($line =~ /^(\w+)(\{[a-z_]+=".*"\})? (\d+(?:\.\d{3})?)$/) {
			my $labels = $2 // '';

			push @wrong, $line if $1 ne $now->{name} ||
			    !$now->{type} || exists $now->{lines}{$labels};
			$now->{lines}{$labels} = $3;
		} else {
			push @wrong, $line;
		}
	}
	return (\%family, @wrong);
}

sub sum
{
	my ($family) = @_;
	my $sum = 0;

	$sum += $_ for values %{ $family->{lines} // {} };
	return $sum;
}

my %also = map { $_ => 1 } qw(npool_processes);

sub test_against_json
{
	my ($family) = @_;
	my $json = eval {
		require JSON::PP;
		JSON::PP->new->decode(scalar printed('-j'));
	};

	if (!$json) {
		skip(7, 'no JSON, or nothing to read it with (perl-modules)');
		return;
	}
	my %of = (allocs => 'allocations_total',
	    misses => 'cache_misses_total', used => 'used_bytes',
	    reserved => 'reserved_bytes');
	for my $key (sort keys %of) {
		is(sum($family->{"npool_$of{$key}"}), $json->{totals}{$key},
		    "npool_$of{$key} adds up to $key");
	}
	my ($process) = @{ $json->{processes} };
	my @figures = grep { !/^(pid|parent|page_size|chunk_size)$/ &&
	    !/^program_number$/ && $process->{$_} =~ /^\d+$/ } keys %$process;
	my @families = grep { !/^npool_(node|class)_/ && !$also{$_} }
	    keys %$family;
	is(scalar @families, @figures - 1, 'every figure of a process is' .
	    ' there, but for hits');
	my ($node) = @{ $json->{nodes} };
	@figures = grep { !/^(node|kernel_node)$/ } keys %$node;
	@families = grep { /^npool_node_/ } keys %$family;
	is(scalar @families, scalar @figures, 'every figure of a node');
	is(sum($family->{npool_class_live_bytes}),
	    sum({ lines => { map { $_ => $json->{classes}[$_]{live_bytes} }
	    0 .. $#{ $json->{classes} } } }), 'and the bytes of all classes');
}

sub test_usage
{
	my ($status, $says) = printed('--openmetrics', '-j');

	ok($status == 2 && $says =~ /without -j/, '-j is another format', $says);
	($status, $says) = printed('--openmetrics', '--nodes');
	ok($status == 2 && $says =~ /views/, 'and views are other reports',
	    $says);
}

# series(text): of the lines with labels, name and labels => value.
sub series
{
	return { map { /^(\w+\{.*\}) (\S+)$/ ? ($1, $2) : () }
	    split /\n/, $_[0] };
}

# Two processes work, and have children that end; then one of them ends, too.
# Of what is there in a look and in the next no counter is less.
sub test_falling
{
	my @pids = map { start(cmd => [$^X, '-e', '$SIG{CHLD} = q(IGNORE);' .
	    'while (1) { @x = map { q(y) x $_ } 1 .. 500; exit if !fork }'],
	    face => 1) } 1, 2;
	my ($both, %before, %all, @fallen) = (0);

	wait_for(20, sub {
		run(cmd => [$stat, '--openmetrics', 'perl'],
		    out => "$tmp/out", err => "$tmp/err");
		my $seen = slurp("$tmp/out");
		return !grep { $seen !~
		    /^npool_class_frees_total\{pid="$_"/m } @pids;
	});
	for my $look (1 .. 40) {
		my $gone = $look > 30;

		stop($pids[1], 'KILL') if $look == 31;
		run(cmd => [$stat, '--openmetrics', 'perl'], out => "$tmp/out",
		    err => "$tmp/err");
		my $now = series(slurp("$tmp/out"));
		my %of = map { /^npool_class_frees_total\{pid="(\d+)"/ ?
		    ($1, 1) : () } keys %$now;
		$both++ if $of{$pids[0]} && (!$of{$pids[1]} == $gone);
		my %here = map { $_ => $now->{$_} }
		    grep { /^\w+_total\{/ } keys %$now;
		for (keys %here) {
			push @fallen, "$look: $_ $before{$_} $here{$_}"
			    if defined $before{$_} && $here{$_} < $before{$_};
			$all{$_} = 1;
		}
		%before = %here;
	}
	stop($pids[0], 'KILL');
	is($both, 40, 'processes are seen as long as they are there');
	ok(!@fallen && keys %all > 100, 'no counter ever falls', @fallen);
	my @of_all = grep { !/\{pid="\d+",run="\d+",program=/ } keys %all;
	is("@of_all", '', 'all are of one process');
}

# A process that runs is found without a name.
sub test_live
{
	my $pid = start(cmd => [$^X, '-e', '@x = map { q(y) x $_ } 1 .. 999;' .
	    '$| = 1; print "ready\n"; sleep 60'], face => 1,
	    out => "$tmp/ready");

	wait_for(20, sub { slurp("$tmp/ready") =~ /ready/ });
	# Others may run here, of another version: of them it complains.
	run(cmd => [$stat, '--openmetrics'], out => "$tmp/out",
	    err => "$tmp/err");
	stop($pid, 'KILL');
	my ($live, @wrong) = families(slurp("$tmp/out"));
	my @mine = grep { /pid="$pid",/ }
	    keys %{ ($live->{npool_used_bytes} // {})->{lines} };
	ok(!@wrong && @mine == 1, 'without a process all are there', @wrong,
	    slurp("$tmp/out"));
}

# What examples/npool-stat.service does, without systemd: its commands in turn
# as long as they succeed, in a folder where somebody put a link.  There
# npool-stat ends as if it had skipped a process.
sub test_service
{
	my $unit = slurp(source_dir() . '/examples/npool-stat.service');
	my ($good) = $unit =~ /^SuccessExitStatus=(\d+)$/m;
	my $where = "$tmp/collector";

	mkdir $_ for $where, "$tmp/bin";
	spew("$tmp/bin/npool-stat", "#!/bin/sh\n$stat \"\$@\"; exit 1\n");
	chmod 0755, "$tmp/bin/npool-stat";
	spew("$tmp/precious", 'precious');
	symlink "$tmp/precious", "$where/npool.prom.new";
	for my $command ($unit =~ /^ExecStart=(.*)$/mg) {
		my $status = run(cmd => ['sh', '-c', $command],
		    env => { DIR => $where, PATH => "$tmp/bin:$ENV{PATH}" },
		    out => "$tmp/out", err => "$tmp/err");

		last if $status && $status ne ($good // 0);
	}
	ok(slurp("$where/npool.prom") =~ /^npool_processes \d+$/m,
	    'the service goes on where a process was skipped');
	is(slurp("$tmp/precious"), 'precious', 'and does not follow a link');
	ok(!-e "$where/npool.prom.new", 'and leaves nothing beside its file');
}

plan(21);
mkdir $dir;
# A name that needs quoting; and a process id that runs two programs.
symlink $^X, "$tmp/pe\"rl\\";
for my $n (1, 2) {
	run(cmd => ['sh', '-c', 'exec "$@"', 'sh', "$tmp/pe\"rl\\", '-e',
	    '@x = map { q(y) x $_ } 1 .. 9000;'], face => 1,
	    env => { NPOOL_CONF => "nodes:2,segment:$dir" });
}
my $text = printed('--openmetrics');
my ($family, @wrong) = families($text);
ok(!@wrong && keys %$family > 40, 'it is the text format', @wrong);
is(sum($family->{npool_processes}), 4, 'two processes ran two programs each');
ok($text =~ /program="pe\\"rl\\\\"/, 'labels are quoted', $text);
is(scalar keys %{ $family->{npool_node_used_bytes}{lines} }, 4 * 2,
    'each node of each program has a line');
test_against_json($family);
test_usage();
test_live();
test_falling();
test_service();
if (missing('promtool')) {
	skip(1, 'no promtool (Debian package prometheus)');
} else {
	spew("$tmp/prom", $text);
	my $status = run(cmd => ['sh', '-c', 'promtool check metrics <"$0"',
	    "$tmp/prom"], out => "$tmp/said", err => "$tmp/says");
	ok(!$status && !-s "$tmp/said" && !-s "$tmp/says",
	    'promtool has nothing to say', slurp("$tmp/says"));
}
