#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool-trace replay of what was recorded: programs on the malloc face, one of
# them redis under load. With the same options a replay maps as many chunks and
# reserves as much as the program did; with others it does not; bad files and
# options are refused.  What a replay does call by call is claimed by t/rerun.t.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;
use IO::Socket::INET;

my $trace = build_dir() . '/tools/npool-trace';
my $tmp;

# tool(arguments): what came of it: code, out, err.
sub tool
{
	my (@args) = @_;
	my $code = run(cmd => [$trace, @args], out => "$tmp/out",
	    err => "$tmp/err", seconds => 120);

	return { code => $code, out => slurp("$tmp/out"),
	    err => slurp("$tmp/err") };
}

# A replay as JSON; keys of the two sides are "recorded.chunks_peak" and so on.
sub replay
{
	my (@args) = @_;
	my $result = tool('replay', '--json', @args);
	my $part = '';

	for ($result->{out} =~ /("\w+":(?:\{|-?[\w.]+)|\})/g) {
		if (/^"(\w+)":\{/) {
			$part = "$1.";
		} elsif (/^"(\w+)":(.*)/) {
			$result->{"$part$1"} = $2;
		} else {
			$part = '';
		}
	}
	return $result;
}

# Claims that both sides of a figure are the same, to so many percent.
sub same
{
	my ($r, $key, $percent, $claim) = @_;
	my ($was, $is) = map { $r->{"$_.$key"} // 'none' } qw(recorded
	    replayed);

	ok($was ne 'none' && $is ne 'none' && $was > 0 &&
	    abs($is - $was) <= $was * $percent / 100, $claim,
	    "recorded $was, replayed $is", $r->{err});
}

sub record
{
	my ($to, $conf, @cmd) = @_;

	return run(cmd => [$trace, 'record', '--ring', 1 << 26, '-L', face(),
	    '-o', $to, '--', @cmd], out => "$tmp/record.out",
	    env => { NPOOL_CONF => $conf }, seconds => 120);
}

# ---- a program with threads ----------------------------------------------

my $program = <<'END';
#include <pthread.h>
#include <stdlib.h>

#define N 3000

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* Some stay, some grow, the others go. One at a time: whether two threads find
 * at the same moment that there is no chunk, no recording tells. */
static void *work(void *seed)
{
	void **p = calloc(N, sizeof *p);
	unsigned i, round, x = *(unsigned *)seed;

	for (round = 0; round < 20; round++)
		for (i = 0; i < N; i++) {
			pthread_mutex_lock(&turn);
			x = x * 1103515245 + 12345;
			if (x >> 16 & 7)
				free(p[i]);
			else
				p[i] = realloc(p[i], (x >> 16) % 20000 + 1);
			if (x >> 16 & 7)
				p[i] = malloc((x >> 20) % 3000 + 1);
			pthread_mutex_unlock(&turn);
		}
	return p;
}

int main(void)
{
	unsigned seed[4] = { 1, 2, 3, 4 }, i;
	pthread_t t[4];

	for (i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, work, &seed[i]);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	free(malloc(50 << 20));
	return 0;
}
END

sub check_program
{
	my $npt = "$tmp/program.npt";
	my $cc = $ENV{CC} // 'cc';

	spew("$tmp/program.c", $program);
	system("$cc -pthread -o $tmp/program $tmp/program.c") == 0
	    or die "the program does not compile\n";
	is(record($npt, 'arenas:1', "$tmp/program"), 0,
	    'a program is recorded');
	my $r = replay($npt);
	is($r->{code}, 0, 'and replayed');
	same($r, 'chunks_peak', 2, 'it has as many chunks');
	same($r, 'reserved_peak', 2, 'and reserves as much');
	same($r, 'used', 2, 'for pieces of the same sizes');
	same($r, 'allocs', 0, 'which are all asked for');
	is($r->{threads}, 5, 'by as many threads');
	is($r->{modelled}, 'false', 'that is no model');
	my $again = replay($npt);
	is_deeply_but_speed($r, $again,
	    'a second replay comes out the same');
	my $netty = replay('--conf', 'classes:netty,page_size:4096', $npt);
	ok($netty->{'replayed.used'} > 1.1 * $r->{'replayed.used'},
	    'powers of two take more', $netty->{out}, $netty->{err});
	my $bare = replay('--conf', 'cache_pieces:0', $npt);
	ok($bare->{hits} == 0 && $r->{hits} > $r->{misses},
	    'caches are hit, if there are any', $bare->{out});
	my $nodes = replay('--nodes', '2x2', $npt);
	ok($nodes->{modelled} eq 'true' && $nodes->{cpus} == 4,
	    'two nodes are a model', $nodes->{out}, $nodes->{err});
	my $touch = replay('--touch', $npt);
	is($touch->{'replayed.chunks_peak'}, $r->{'replayed.chunks_peak'},
	    'pieces that are touched lie where they did');
	my $text = tool('replay', $npt);
	ok($text->{out} =~ /^chunks at most +\d+ +\d+ +[+-]\d+\.\d\d %$/m &&
	    $text->{out} =~ /^machine +as recorded: /m,
	    'for people it is a table', $text->{out});
	is(join("\n", grep { length > 80 && !/^recording / } split /\n/,
	    $text->{out}), '',
	    'of 80 columns');
	is(tool('replay', '-q', $npt)->{out}, '', 'or nothing');
	check_bad($npt);
}

# What is measured differs.
sub is_deeply_but_speed
{
	my ($a, $b, $claim) = @_;
	my @other = grep { $_ ne 'ns_a_call' && $_ ne 'out' &&
	    ($a->{$_} // '') ne ($b->{$_} // '') } sort keys %$a;

	ok(!@other && keys %$a > 30, $claim,
	    map { "$_: $a->{$_}, then $b->{$_}" } @other);
}

sub refused
{
	my ($result, $code, $says, $claim) = @_;

	ok($result->{code} == $code && $result->{err} =~ $says, $claim,
	    "code $result->{code}, wanted $code, $says", $result->{err});
}

sub check_bad
{
	my ($npt) = @_;
	my $all = slurp($npt);
	my $half = int(length($all) / 2);

	spew("$tmp/cut.npt", substr $all, 0, $half);
	my $cut = replay("$tmp/cut.npt");
	refused($cut, 0, qr/was cut off: what is there was read/,
	    'a recording that was cut off');
	ok($cut->{'replayed.allocs'} > 0, 'is replayed up to there',
	    $cut->{out});
	substr($all, $half, 3) = 'XYZ';
	spew("$tmp/bad.npt", $all);
	refused(replay("$tmp/bad.npt"), 2, qr/at offset \d+: /,
	    'one that was damaged is refused, with the offset');
	refused(replay("$tmp/program.c"), 2,
	    qr/program.c: at offset 0: this is no recording/,
	    'so is a text');
	refused(tool('replay', '--netty', '--nodes', '2', $npt), 2,
	    qr/of a recording, not of --netty/,
	    'options of the one are not of the other');
	refused(tool('replay', '--page-size', '4096', $npt), 2,
	    qr/see --conf/, 'nor the other way round');
	refused(replay('--suggest', $npt), 2, qr/prints no JSON/,
	    'JSON of what is suggested');
	refused(replay('--conf', 'no:1', $npt), 2, qr/npool_options\(7\)/,
	    'an option that there is not');
	refused(replay('--nodes', '65', $npt), 2, qr/^npool-trace: --nodes /,
	    'too many nodes');
	refused(replay('--nodes', '2', '--map', '1=2', $npt), 2,
	    qr/^npool-trace: --map /, 'a node that there is not');
}

# ---- redis ---------------------------------------------------------------

sub connect_to
{
	return IO::Socket::INET->new(PeerAddr => '127.0.0.1',
	    PeerPort => $_[0], Timeout => 5);
}

sub check_redis
{
	return if !needs(7, 'redis-server' => 'redis-server',
	    'redis-benchmark' => 'redis-tools');
	my $port = free_port();
	my $npt = "$tmp/redis.npt";
	my $pid = start(cmd => [$trace, 'record', '--ring', 1 << 26, '-L',
	    face(), '-o', $npt, '--', 'redis-server', '--port', $port,
	    '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no',
	    '--dir', $tmp, '--daemonize', 'no'], out => "$tmp/redis.out",
	    env => { NPOOL_CONF => 'decay_ms:2000' });
	my $up = wait_for(60, sub { !alive($pid) || connect_to($port) });
	my $code = run(cmd => ['redis-benchmark', '-h', '127.0.0.1', '-p',
	    $port, '-q', '-n', 12_000, '-c', 20, '-P', 16, '-d', 300, '-r',
	    20_000, '-t', 'set,get,incr,lpush,rpush,lpop,sadd,hset,spop,' .
	    'zadd,mset'], out => "$tmp/bench", seconds => 100);

	if (my $socket = connect_to($port)) {
		print $socket "SHUTDOWN NOSAVE\r\n";
		$socket->flush;
	}
	my $status = finish($pid, 60) // 'still runs';
	ok("$code $status" eq '0 0' && $up, 'redis is recorded under load',
	    "benchmark $code, recording $status", slurp("$tmp/redis.out"),
	    slurp("$tmp/bench"));
	my $r = replay($npt);
	same($r, 'chunks_peak', 2,
	    'its replay has as many chunks, to 2 %');
	same($r, 'reserved_peak', 2, 'and reserves as much, to 2 %');
	same($r, 'used', 2, 'and uses as much at the peak, to 2 %');
	my $whole = tool('replay', $npt);
	ok($whole->{out} =~ /^options +as recorded$/m,
	    'that is with the recorded options', $whole->{out});
	my $netty = replay('--conf', 'classes:netty', $npt);
	ok(($netty->{'waste.rounding'} // 0) > 1.2 * $r->{'waste.rounding'},
	    'with powers of two it rounds up further', $netty->{out},
	    $netty->{err});
	my $small = replay('--conf', 'max_order:7', $npt);
	ok(($small->{'replayed.chunks_peak'} // 0) >
	    4 * $r->{'replayed.chunks_peak'} &&
	    $small->{'replayed.reserved_peak'} <=
	    $r->{'replayed.reserved_peak'},
	    'small chunks are more, and hold no more', $small->{out},
	    $small->{err});
}

plan(16 + 10 + 7);
$tmp = tmpdir();
check_program();
check_redis();
