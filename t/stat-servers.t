#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-stat beside redis, nginx and memcached on the malloc face, all three
# under load at once, redis in a container if we may make one: whatever is
# asked of whichever of them is answered, in 80 columns and without a figure
# that cannot be.  Then the load ends, the servers are stopped where they are,
# and every view must make the same totals of the same process.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;
use servers;

my $stat = build_dir() . '/tools/npool-stat';
my $has_json = ($ENV{NPOOL_TEST_JSON} // 'yes') ne 'no';
my $can_decode = $has_json && eval { require JSON::PP };
my @container = qw(unshare --mount --pid --net --ipc --user --map-root-user
    --fork --kill-child --mount-proc);
my @names = qw(redis nginx nginx-1 nginx-2 memcached);
my $tmp = tmpdir();
my ($is_boxed, %pid, $n); # pid: of each of @names

sub stat_run
{
	my (@args) = @_;
	my $to = "$tmp/stat" . ++$n;
	my $code = run(cmd => [@args], out => "$to.out", err => "$to.err",
	    seconds => 60);

	return ($code, slurp("$to.out"), slurp("$to.err"));
}

# ---- three servers -------------------------------------------------------

# Whoever is in a container is reached by a socket in the file system.
sub start_redis
{
	my $dir = "$tmp/redis";

	mkdir $dir;
	$is_boxed = $> == 0 && !missing('unshare') &&
	    run(cmd => [@container, 'true'], out => '/dev/null') eq '0';
	my $pid = start(cmd => [$is_boxed ? @container : (), 'redis-server',
	    '--port', 0, '--unixsocket', "$dir/socket", '--save', '', '--dir',
	    $dir, '--io-threads', 2], face => 1, out => "$dir/out");
	wait_for(20, sub { -S "$dir/socket" || !alive($pid) });
	die "redis does not start:\n" . slurp("$dir/out") if !-S "$dir/socket";
	($pid) = split ' ', slurp("/proc/$pid/task/$pid/children") if $is_boxed;
	return ($pid, "$dir/socket");
}

sub start_all
{
	my ($redis, $socket) = start_redis();
	my $nginx = serve('nginx', 1, \&nginx_command);
	my $memcached = serve('memcached', 1, \&memcached_command);

	wait_for(20, sub { nginx_workers($nginx->{pid}) == 2 });
	@pid{@names} = ($redis, $nginx->{pid}, nginx_workers($nginx->{pid}),
	    $memcached->{pid});
	return ($socket, $nginx, $memcached);
}

sub start_load
{
	my ($socket, $nginx, $memcached) = @_;
	my @redis = (qw(redis-benchmark -q -l -s), $socket, qw(-r 5000 -c 20
	    -P 4 -d 300 -t), 'set,get,lpush,lpop,hset,sadd,zadd');
	my $code = 'for ($i = 1; $s = connect_to($ARGV[0]); $i++) {' .
	    'memcached_set($s, "k$_", memcached_value($_ * $i)) for 1 .. 99 }';

	return (start(cmd => \@redis, out => "$tmp/bench"),
	    wrk($nginx, 600, '/again/40000.html', '-H',
	    'Accept-Encoding: gzip'),
	    start(cmd => [$^X, '-I' . dirname(__FILE__), '-Mservers', '-e',
	    $code, $memcached->{port}], out => "$tmp/sets"));
}

sub allocations
{
	my ($pid) = @_;

	return ((stat_run($stat, $pid))[1] =~
	    /^calls +allocations ([\d.]+( \w)?)/m)[0] // 0;
}

# ---- under load ----------------------------------------------------------

my @views = (['--report'], ['-v', '--report'], ['--nodes'], ['--arenas'],
    ['--classes'], ['--threads'], ['--lists'], ['--map'], ['--chunk', 0],
    ['--verify']);

# What nobody should be shown.
sub trouble_in
{
	my ($what, $code, $out, $err) = @_;
	my @lines = split /\n/, $out;
	my @bad = grep { length > 80 || /\d [PE]i?B?\b/ } @lines;

	push @bad, "exit code $code" if $code;
	push @bad, $err if length $err;
	push @bad, 'nothing' if @lines < 2;
	return map { "$what: $_" } @bad;
}

sub test_load
{
	my (@servers) = @_;
	my %before = map { $_ => allocations($pid{$_}) } @names;
	my @load = start_load(@servers);
	my ($list, $name);

	for my $busy ('redis', 'nginx', 'memcached') {
		my $is_busy = sub {
			return grep { allocations($pid{$_}) ne $before{$_} }
			    grep { /^$busy/ } @names;
		};

		ok(wait_for(30, $is_busy), "$busy is under load");
	}
	for my $name (@names) {
		my @bad = map { trouble_in("@$_", stat_run($stat, @$_,
		    $pid{$name})) } @views, ['--children'];

		push @bad, trouble_in('rates', stat_run($stat, $pid{$name},
		    0.05, 3));
		ok(!@bad, "$name: every view can be read", @bad);
	}
	$list = (stat_run($stat))[1];
	my @there = grep { my $pid = $pid{$_};
	    $list =~ /^ *$pid (redis-server|nginx|memcached) /m } @names;
	is("@there", "@names", 'the list has them all');
	for (@load) {
		ok(alive($_), 'and the load went on');
		stop($_, 'KILL');
	}
}

# ---- standing still ------------------------------------------------------

sub json_of
{
	my (@args) = @_;

	return eval { JSON::PP->new->decode((stat_run($stat, '-j', @args))[1]) }
	    // {};
}

sub sum
{
	my ($rows, $key) = @_;
	my $sum = 0;

	$sum += $_->{$key} // 0 for @{ $rows // [] };
	return $sum;
}

# The sum of a metric, of a process.
sub metric
{
	my ($text, $name) = @_;
	my $sum = 0;

	$sum += $1 while $text =~ /^npool_$name\{.*\} (\d+)$/mg;
	return $sum;
}

# Bytes of the runs and elements that a process's chunks have given out.
sub given_out
{
	my ($pid, $chunks) = @_;
	my $bytes = 0;

	for my $chunk (grep { defined $_->{arena} } @$chunks) {
		my $one = json_of('--chunk', $chunk->{chunk}, $pid);

		$bytes += $_->{size} * ($_->{elements_taken} // 1)
		    for map { @{ $_->{pieces} // [] } } @{ $one->{chunks} };
	}
	return $bytes;
}

# What the views of a process say of the same: figure => what each says.
sub figures_of
{
	my ($pid) = @_;
	my %view = map { $_ => json_of("--$_", $pid)->{$_} }
	    qw(nodes arenas classes threads);
	my $whole = json_of($pid);
	my $t = $whole->{totals};
	my $chunks = json_of('--lists', $pid)->{chunks};
	my $maps = json_of('--map', $pid)->{chunks};
	my ($row) = grep { $_->{pid} == $pid } @{ json_of()->{processes} };
	my $metrics = (stat_run($stat, '--openmetrics', $pid))[1];
	my $places = json_of('--verify', $pid)->{places};
	my @huge = grep { !defined $_->{arena} } @$chunks;
	my @of_arenas = grep { defined $_->{arena} } @$chunks;
	my $free = 0;

	$free += ($_->{map} // '') =~ tr/.// for @$maps;
	return (
		used => [$t->{used}, sum($view{nodes}, 'used'),
		    sum($view{classes}, 'live_bytes'), $row->{used},
		    sum($whole->{processes}, 'used'),
		    sum($whole->{flows}, 'in_use'),
		    metric($metrics, 'used_bytes'),
		    metric($metrics, 'node_used_bytes'),
		    metric($metrics, 'class_live_bytes')],
		cached => [$t->{cached}, sum($view{nodes}, 'cached'),
		    sum($view{threads}, 'cached') +
		    sum($view{nodes}, 'depot_bytes'), $row->{cached},
		    metric($metrics, 'cached_bytes')],
		taken => [$t->{taken}, $t->{used} + $t->{cached},
		    sum($view{arenas}, 'taken') + $t->{huge_bytes},
		    given_out($pid, $chunks) + sum(\@huge, 'size')],
		reserved => [$t->{reserved}, sum($view{nodes}, 'reserved'),
		    sum($view{arenas}, 'reserved') + $t->{huge_bytes},
		    sum($chunks, 'size'), $row->{reserved}],
		chunks => [$t->{chunks}, sum($view{nodes}, 'chunks'),
		    sum($view{arenas}, 'chunks'), scalar @of_arenas],
		free_pages => [sum($chunks, 'free_pages'), $free],
		pages => [sum($chunks, 'size') / POSIX::sysconf(
		    POSIX::_SC_PAGESIZE()), sum($places, 'pages')],
		threads => [$t->{threads}, sum($view{nodes}, 'threads'),
		    sum($view{arenas}, 'threads'), $row->{threads}],
		allocs => [$t->{allocs}, sum($view{classes}, 'allocs'),
		    $t->{hits} + $t->{misses}, $row->{allocs},
		    metric($metrics, 'allocations_total')],
	);
}

# Figures of which two views say something else, or nothing.
sub differences
{
	my ($pid) = @_;
	my %figure = figures_of($pid);

	return 'there is nothing to compare' if !$figure{used}[0];
	return map { "$_: @{ $figure{$_} }" } grep {
		my ($first, @others) = @{ $figure{$_} };

		grep { $_ != $first } @others;
	} sort keys %figure;
}

# A process that is stopped within a call counts half of it: then once more.
sub still
{
	my ($name, $what) = @_;
	my $pid = $pid{$name};
	my @result;

	for (1 .. 5) {
		kill 'STOP', $pid;
		wait_for(20, sub { slurp("/proc/$pid/stat") =~ /\) T / });
		@result = $what->($pid);
		kill 'CONT', $pid;
		last if !@result;
		select undef, undef, undef, 0.1;
	}
	return @result;
}

sub test_still
{
	return skip(@names + 1, 'needs JSON') if !$can_decode;
	for my $name (@names) {
		my @different = still($name, \&differences);

		ok(!@different, "$name: all views make the same totals",
		    @different);
	}
	return skip(1, 'redis is in no container: that needs root, unshare(1)' .
	    ' and the right to use it') if !$is_boxed;
	my @different = still('redis', sub {
		my ($pid) = @_;
		my (undef, $inside) = stat_run('nsenter', '-t', $pid, '-m',
		    '-p', '-n', '-i', '-U', $stat, '-j', 'redis-server');
		my $in = eval { JSON::PP->new->decode($inside)->{totals} };
		my $out = json_of($pid)->{totals};

		return grep { ($in->{$_} // 'none') ne $out->{$_} }
		    qw(used cached reserved allocs frees hits threads);
	});
	is("@different", '', 'from inside its container redis looks the same');
}

plan(3 + @names + 1 + 3 + @names + 1);
alarm 280;
if (needs(13 + @names, 'redis-server' => 'redis-server',
    'redis-benchmark' => 'redis-tools', nginx => 'nginx-light', wrk => 'wrk',
    memcached => 'memcached')) {
	test_load(start_all());
	test_still();
}
