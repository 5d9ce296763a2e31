#!/usr/bin/perl
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# face-servers.t - redis, nginx and memcached under load on the malloc face.
#
# Each server first answers a fixed conversation without and with the face;
# the answers must be the same.  Then the one on the face is loaded for
# about two seconds, and every request must have been answered.  All of it
# happens on the loopback, in a directory of its own, with small settings;
# nothing of the machine's own servers is read or touched.
use strict;
use warnings;
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use face;
use servers;

use constant { REDIS => 6, NGINX => 6, MEMCACHED => 5 };

# Seconds for what hangs when a test is run by hand. How long it may take says
# make check.
use constant PATIENCE => 1000;

# ---- redis -------------------------------------------------------------

sub redis_reply
{
	my ($socket) = @_;
	my ($kind, $rest) = read_line($socket) =~ /^(.)(.*)/s;

	return $rest < 0 ? '(nil)' : read_bytes($socket, $rest)
	    if $kind eq '$';
	return join "\n", map { redis_reply($socket) } 1 .. $rest
	    if $kind eq '*';
	return "$kind$rest";
}

sub redis_send
{
	my ($socket, @word) = @_;

	return send_all($socket, join "\r\n", '*' . @word,
	    (map { ('$' . length, $_) } @word), '');
}

sub redis_ask
{
	my ($socket, @word) = @_;

	return redis_send($socket, @word) ? redis_reply($socket) : '(gone)';
}

# Strings, hashes, lists, sets and sorted sets that grow, shrink and go.
sub redis_conversation
{
	my ($socket) = @_;
	my @said;

	seed(99);
	for my $i (1 .. 3000) {
		my $size = draw(20) ? draw(600) : draw(60_000);
		my $key = 'k' . draw(700);
		my $text = chr(97 + $i % 26) x $size;

		push @said, map { redis_ask($socket, @$_) }
		    ['SET', "s$key", $text],
		    ['APPEND', "s" . 'k' . draw(700), substr $text, 0, 100],
		    ['HSET', "h$key", draw(50), $text],
		    ['RPUSH', "l$key", substr($text, 0, 300), $i],
		    ['SADD', "a$key", draw(1000), "m$i"],
		    ['ZADD', "z$key", draw(1000), "m" . draw(100)],
		    ['LPOP', 'lk' . draw(700)], ['GET', 'sk' . draw(700)],
		    ['HGET', 'hk' . draw(700), draw(50)],
		    [draw(9) ? 'EXISTS' : 'DEL', 'sk' . draw(700)];
	}
	return join "\n", redis_ask($socket, 'DEBUG', 'DIGEST'),
	    redis_ask($socket, 'DBSIZE'), @said;
}

sub redis_info
{
	my ($socket, $section) = @_;

	return { map { /^([^:]+):(.*?)\r?$/ ? ($1, $2) : () }
	    split /\n/, redis_ask($socket, 'INFO', $section) };
}

# Which of the requests did not reach the server or failed in it?
sub redis_unanswered
{
	my ($socket, %wanted) = @_;
	my $stats = redis_info($socket, 'commandstats');
	my @wrong;

	for (sort keys %wanted) {
		my $line = $stats->{"cmdstat_$_"} // '(none)';

		push @wrong, "$_: wanted $wanted{$_}, $line"
		    if $line !~ /\bcalls=$wanted{$_},.*
		    rejected_calls=0,failed_calls=0/x;
	}
	return @wrong;
}

sub redis_load
{
	my ($server, $socket) = @_;
	my @many = qw(set get incr lpush rpush lpop rpop sadd hset spop zadd
	    zpopmin mset);
	my ($n, $few) = (16_000, 5_000);
	my %wanted = map { $_ => $n } @many;
	my $out = "$server->{dir}/bench";
	my @bench = ('redis-benchmark', '-h', '127.0.0.1', '-p',
	    $server->{port}, '-q', '--csv', '-r', 5000);

	$wanted{$_} += $few for qw(set get);
	redis_ask($socket, 'CONFIG', 'RESETSTAT');
	my $pid = start(cmd => [@bench, '-n', $n, '-c', 50, '-P', 16, '-d',
	    300, '-t', join ',', @many], out => $out);
	select undef, undef, undef, 0.3;
	my $save = redis_ask($socket, 'BGSAVE');
	my $saved = wait_for(PATIENCE, sub { redis_info($socket, 'persistence')
	    ->{rdb_bgsave_in_progress} eq '0' });
	my $status = finish($pid, PATIENCE) // 'timeout';
	my $code = run(cmd => [@bench, '-n', $few, '-c', 100, '-d', 3000,
	    '-t', 'set,get'], out => "$out.2", seconds => PATIENCE);
	my $text = slurp($out) . slurp("$out.2");
	my @wrong = redis_unanswered($socket, %wanted);

	ok("$status $code" eq '0 0' && $text !~ /err/i && !@wrong &&
	    $text =~ /"SET"/i, 'redis answers every request of the benchmark',
	    "status $status, exit $code", @wrong, $text);
	my $state = redis_info($socket, 'persistence')
	    ->{rdb_last_bgsave_status} // '(none)';
	ok($save =~ /^\+Background saving started/ && $saved &&
	    $state eq 'ok' && -s "$server->{dir}/dump.rdb",
	    'redis saves by a forked child while it is loaded',
	    "$save, then: $state", slurp("$server->{dir}/out"));
}

# What is saved now is what a new server on the face reads.
sub redis_restart
{
	my ($server, $socket) = @_;
	my $digest = redis_ask($socket, 'DEBUG', 'DIGEST');
	my $saved = redis_ask($socket, 'SAVE');
	my $file = "$server->{dir}/dump.rdb";

	redis_send($socket, 'SHUTDOWN', 'NOSAVE');
	my $status = finish($server->{pid}, PATIENCE) // 'still runs';
	is("$saved $status", '+OK 0', 'redis saves and shuts down in order');

	my $image = slurp($file);
	my $next = serve('redis-next', 1, sub {
		my ($dir, $port) = @_;
		spew("$dir/dump.rdb", $image);
		return redis_command($dir, $port);
	});
	my $again = connect_to($next->{port});
	wait_for(PATIENCE, sub { redis_info($again, 'persistence')->{loading}
	    eq '0' });
	is(redis_ask($again, 'DEBUG', 'DIGEST'), $digest,
	    'another redis on the face reads the same data');
	stop($next->{pid}, 'TERM');
}

sub check_redis
{
	my $plain = serve('redis', 0, \&redis_command);
	my $wanted = redis_conversation(connect_to($plain->{port}));

	stop($plain->{pid}, 'TERM');
	my $server = serve('redis', 1, \&redis_command);
	my $socket = connect_to($server->{port});
	is(redis_conversation($socket), $wanted,
	    'redis answers and holds the same on the face');
	redis_load($server, $socket);
	on_face("$server->{dir}/ld", 'redis is served by the face');
	redis_restart($server, $socket);
}

# ---- nginx -------------------------------------------------------------

# The whole answer but for the headers that name the moment or the port.
sub http_get
{
	my ($port, $path, @header) = @_;
	my $socket = connect_to($port) or return '(no connection)';

	send_all($socket, join "\r\n", "GET $path HTTP/1.1", 'Host: h',
	    'Connection: close', @header, '', '');
	local $/;
	my $answer = readline($socket) // '(nothing)';
	$answer =~ s/^(Date|ETag): .*\r\n//mgi;
	return $answer;
}

sub nginx_conversation
{
	my ($port) = @_;
	my @files = map { "/$_.html" } 0, 1, 100, 5000, 40_000, 300_000,
	    3_000_000;
	my $all = '';

	for my $path (@files, '/list/', '/none', '/turn/left/right',
	    (map { "/again$_" } @files, '/list/', '/none'), '/old/100.html') {
		$all .= "$path\n" . http_get($port, $path, @$_) . "\n" for
		    [], ['Accept-Encoding: gzip'], ['Range: bytes=7-90'];
	}
	return $all;
}

# wrk_ends(server, claim, process, how): wrk, which was started like that, has
# nothing to complain of; it is started again until it has had 100 answers.
sub wrk_ends
{
	my ($server, $claim, $pid, @how) = @_;
	my ($n, $good, $status, $text) = (0);

	do {
		$pid //= wrk($server, @how);
		$status = finish($pid, PATIENCE) // 'timeout';
		undef $pid;
		$text = slurp("$server->{dir}/wrk");
		$good = $status eq '0' && $text =~ /(\d+) requests in/;
		$n += $1 if $good;
		$good &&= $text !~ /error|Non-2xx|unable/i;
	} while ($good && $n <= 100);
	ok($good, $claim, "status $status", $text,
	    slurp("$server->{dir}/error.log"));
}

# Requests that each take a connection, while all workers are replaced.
sub nginx_reload
{
	my ($server) = @_;
	my @old = nginx_workers($server->{pid});
	my @how = (2, '/100.html', '-H', 'Connection: close');
	my $pid = wrk($server, @how);

	select undef, undef, undef, 0.6;
	my $code = run(cmd => ['nginx', '-e', "$server->{dir}/error.log",
	    '-p', "$server->{dir}/", '-c', 'nginx.conf', '-s', 'reload'],
	    face => 1, out => "$server->{dir}/reload", seconds => PATIENCE);
	wrk_ends($server, 'nginx reloads under load without an error', $pid,
	    @how);
	my %old = map { $_ => 1 } @old;
	my $replaced = wait_for(PATIENCE, sub {
		my @new = nginx_workers($server->{pid});
		return @new == 2 && !grep { $old{$_} } @new;
	});
	my @new = nginx_workers($server->{pid});
	my @mapped = grep { index(slurp("/proc/$_/maps"), face()) >= 0 }
	    @new;
	ok($code eq '0' && @old == 2 && $replaced && @mapped == 2,
	    'nginx has two new workers, both with the face',
	    "reload: exit $code, workers @old, then @new, face in: @mapped");
}

sub check_nginx
{
	my $plain = serve('nginx', 0, \&nginx_command);
	my $wanted = nginx_conversation($plain->{port});

	stop($plain->{pid}, 'TERM');
	my $server = serve('nginx', 1, \&nginx_command);
	is(nginx_conversation($server->{port}), $wanted,
	    'nginx serves the same pages on the face');
	wrk_ends($server, 'wrk reports no error of nginx', undef, 2,
	    '/again/40000.html', '-H', 'Accept-Encoding: gzip');
	nginx_reload($server);
	my $status = stop($server->{pid}, 'QUIT', PATIENCE) // 'still runs';
	my $log = slurp("$server->{dir}/error.log");
	ok($status eq '0' && $log !~ /\[(alert|crit|emerg)\]/,
	    'nginx quits in order and logged nothing grave',
	    "status $status", $log);
	on_face("$server->{dir}/ld", 'nginx is served by the face');
}

# ---- memcached ---------------------------------------------------------

sub memcached_get
{
	my ($socket, $key) = @_;

	send_all($socket, "get $key\r\n");
	my $line = read_line($socket);
	return "$key: $line" if $line !~ /^VALUE (\S+) (\d+) (\d+)$/;
	my $value = read_bytes($socket, $3);
	return "$1 $2 $value " . read_line($socket);
}

sub memcached_conversation
{
	my ($socket) = @_;
	my @said;

	push @said, memcached_set($socket, "key$_", memcached_value($_))
	    for 1 .. 3000;
	for my $i (1 .. 3000) {
		my $wanted = memcached_value($i);
		my $seen = memcached_get($socket, "key$i");

		push @said, $seen eq "key$i 7 $wanted END" ? 'whole' :
		    "key$i differs: " . substr $seen, 0, 60;
		send_all($socket, $i % 3 ? "append key$i 0 0 3\r\nabc\r\n" :
		    "delete key$i\r\n");
		push @said, read_line($socket);
	}
	push @said, memcached_get($socket, "key$_") for 1 .. 3000;
	return join "\n", @said;
}

# Many connections at once, each with its own key; all write, all read.
sub memcached_crowd
{
	my ($server) = @_;
	my @socket = map { connect_to($server->{port}) } 1 .. 400;
	my ($answered, $wrong) = (0, 0);

	for my $round (1 .. 5) {
		my @value = map { memcached_value($_ * 7 + $round) }
		    1 .. @socket;
		for my $i (0 .. $#socket) {
			my $n = length $value[$i];
			send_all($socket[$i], "set c$i 7 0 $n\r\n" .
			    "$value[$i]\r\nget c$i\r\n");
		}
		for my $i (0 .. $#socket) {
			my $stored = read_line($socket[$i]);
			my $head = read_line($socket[$i]);
			my ($n) = $head =~ /^VALUE c$i 7 (\d+)$/;
			my $value = read_bytes($socket[$i], $n // 0);
			my $end = read_line($socket[$i]);

			$answered++;
			$wrong++ if "$stored $end" ne 'STORED END' ||
			    $value ne $value[$i];
		}
	}
	is("$answered answered, $wrong wrong", '2000 answered, 0 wrong',
	    'memcached serves 400 connections at once');
}

sub memcached_stats
{
	my ($socket) = @_;
	my (%stat, $line);

	send_all($socket, "stats\r\n");
	while (($line = read_line($socket)) =~ /^STAT (\S+) (.*)/) {
		$stat{$1} = $2;
	}
	return \%stat;
}

sub check_memcached
{
	my $plain = serve('memcached', 0, \&memcached_command);
	my $wanted = memcached_conversation(connect_to($plain->{port}));
	my $end = stop($plain->{pid}, 'TERM', PATIENCE) // 'still ran';

	my $server = serve('memcached', 1, \&memcached_command);
	my $socket = connect_to($server->{port});
	is(memcached_conversation($socket), $wanted,
	    'memcached answers the same on the face');
	memcached_crowd($server);
	my $stat = memcached_stats($socket);
	is(join(' ', @$stat{qw(cmd_set evictions threads)}), '7000 0 2',
	    'memcached counted every request and evicted nothing');
	is(stop($server->{pid}, 'TERM', PATIENCE) // 'still runs', $end,
	    'memcached ends as it does without the face');
	on_face("$server->{dir}/ld", 'memcached is served by the face');
}

plan(REDIS + NGINX + MEMCACHED);
alarm PATIENCE;
check_redis() if needs(REDIS, 'redis-server' => 'redis-server',
    'redis-benchmark' => 'redis-tools');
check_nginx() if needs(NGINX, nginx => 'nginx-light', wrk => 'wrk');
check_memcached() if needs(MEMCACHED, memcached => 'memcached');
