#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The relay of examples/, between real clients and real servers, which check
# what they get themselves: what is in a database that was dumped and restored
# through it, the hash of a file, the bytes of an echo. Then with ends that
# break, with a thousand at once, with too little memory, and at its end. Each
# time every buffer has come back, and the memory of a long run does not grow.
. "${0%/*}/tap.sh"
need perl perl

examples=$abs_top_builddir/examples
relay=$examples/relay
library=$abs_top_builddir/lib/.libs/libnpool.so
unset NPOOL_CONF
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
cd "$tmp" || exit 99
awk 'BEGIN { for (i = 0; i < 400000; i++) print i }' >numbers
servers= server= pid=
trap 'kill -KILL $servers $pid 2>/dev/null; rm -rf "$tmp"' EXIT
case $level in
all) more=20 rounds=24 ;;
*) more=1 rounds=12 ;;
esac

# port_of FILE PID: waits until a program of ours has said its port there.
port_of() {
	tenths=0 port=
	while [ -z "$port" ] && [ "$tenths" -lt 300 ] && kill -0 "$2"; do
		sleep 0.1
		port=$(sed -n '1s/^port \([0-9]*\).*/\1/p' "$1")
		tenths=$((tenths + 1))
	done 2>/dev/null
	[ -n "$port" ] || bail_out "no port: $(cat "$1" err)"
}

# start OPTION... HOST PORT: a relay to there; its port is in $port.
start() {
	: >out
	"$relay" "$@" >out 2>err &
	pid=$!
	port_of out "$pid"
	fds=$(ls "/proc/$pid/fd" | wc -l)
}

# end [SIGNAL]: sends it to the relay; its exit status is in $code.
end() {
	[ $# -eq 0 ] || kill -s "$1" "$pid"
	wait "$pid"
	code=$?
	pid=
}

# in_order HOW: on SIGTERM the relay ends, and nothing is left.
in_order() {
	end TERM
	cat out err >log
	[ "$code" -eq 0 ] && ! grep -q 'libnpool:' err
	ok $? "$1: the relay ends, and every buffer came back" log
}

# wait_links N: until the relay has N links, two descriptors each.
wait_links() {
	tenths=0
	while [ "$(ls "/proc/$pid/fd" | wc -l)" -lt $((fds + 2 * $1)) ] &&
		[ "$tenths" -lt 300 ]; do
		sleep 0.1
		tenths=$((tenths + 1))
	done
}

# wait_taken: until the relay, which waits for signals, has taken the SIGTERM
# that it was sent. Two that wait are one.
wait_taken() {
	while [ $((0x$(sed -n 's/^ShdPnd:[^0-9a-f]*//p' "/proc/$pid/status") &
		1 << 14)) -ne 0 ]; do
		sleep 0.1
	done
}

# run COMMAND...: its exit status is in $code, what it said in run.out.
run() {
	timeout 120 "$@" >run.out 2>&1
	code=$?
}

# ends CODE CLAIM: the last run ended so.
ends() {
	{
		echo "exit status $code, wanted $1"
		tail -n 30 run.out
	} >log
	[ "$code" -eq "$1" ]
	ok $? "$2" log
}

# figure BEFORE: the number behind BEFORE in what the relay said.
figure() {
	sed -n "s/.*$1 \([0-9][0-9]*\).*/\1/p" out
}

# resident: KiB of the relay's memory.
resident() {
	sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) .*/\1/p' "/proc/$pid/status"
}

free_port() {
	perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1,
	    LocalAddr => "127.0.0.1")->sockport'
}

# listens PORT PID: does this server, sooner or later?
listens() {
	perl -MIO::Socket::INET -e 'for (1 .. 600) {
		my $open = IO::Socket::INET->new("127.0.0.1:$ARGV[0]");

		kill 0, $ARGV[1] or exit 1;
		exit 0 if $open;
		select undef, undef, undef, 0.1;
	}
	exit 1' "$@"
}

# serve FUNCTION: becomes a server, on the port that it is given; waits until
# that listens. Its number is in $server, its port in $server_port. Another
# process may take the port first: it tries again.
serve() {
	for try in 1 2 3; do
		server_port=$(free_port)
		"$1" "$server_port" >server.out 2>&1 </dev/null &
		server=$!
		servers="$servers $server"
		listens "$server_port" "$server" && return
		stop_server KILL 2>log
	done
	bail_out "$1: $(tail -n 20 server.out)"
}

# stop_server [SIGNAL]
stop_server() {
	kill -s "${1:-TERM}" "$server"
	wait "$server" 2>/dev/null
	servers=$(echo "$servers" | sed "s/ $server\$//")
}

# has N PROGRAM PACKAGE...: true when all are there; else N claims are skipped,
# or failed where the machine was to have them.
has() {
	n=$1
	shift
	while [ $# -gt 0 ]; do
		command -v "$1" >/dev/null && shift 2 && continue
		[ "$level" = quick ] || {
			while [ "$n" -gt 0 ]; do
				ok 1 "there is $1: install $2"
				n=$((n - 1))
			done
			return 1
		}
		skip "$n" "needs the package $2"
		return 1
	done
}

# ---- The command line ----

test_usage() {
	run "$relay" --help
	ends 0 'relay --help'
	for wrong in '' 'localhost' 'a b c' '-p 65536 127.0.0.1 1' \
		'-t 0 127.0.0.1 1' '-l 63 127.0.0.1 1' '-z 127.0.0.1 1'; do
		run "$relay" $wrong
		ends 2 "relay $wrong: bad usage"
	done
	run "$relay" 127.0.0.1 no-such-service
	ends 1 'a server that has no address is an error'
}

# ---- Echoes: each byte is compared by the client ----

echo_start() {
	"$examples/echo-server" >echo.out 2>err &
	server=$!
	servers="$servers $server"
	port_of echo.out "$server"
	echo_port=$port
}

test_echo() {
	set -- "$abs_top_srcdir/README" "$library"
	echo_start
	start 127.0.0.1 "$echo_port"
	pinned=$(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\)$/\1/p' \
		"/proc/$pid/task/"*/status | sort -u | wc -l)
	is "$pinned" "$(sed -n '1s/.*threads //p' out)" \
		'each thread is pinned to a CPU of its own'
	run "$examples/echo-client" "$port" 20 3 "$@"
	ends 0 'both ends close in turn: every byte comes back'
	run "$examples/echo-client" -l "$port" 20 2 "$@"
	ends 0 'late clients: the relay waits, and loses nothing'
	in_order 'echo'
	is "$(grep '^cpu ' out | grep -c ' 0 buffers of another node$')" \
		"$(sed -n '1s/.*threads //p' out)" \
		'all buffers were of the node of their thread'

	export NPOOL_CONF=nodes:2,leaks:paranoid
	start 127.0.0.1 "$echo_port"
	run "$examples/echo-client" -l "$port" 8 1 "$@"
	ends 0 'two nodes, each buffer watched: every byte comes back'
	in_order 'watched'
	unset NPOOL_CONF

	start -t 1 -l 1024 127.0.0.1 "$echo_port"
	run "$examples/echo-client" -l "$port" 20 1 numbers
	ends 0 'too little memory: every byte comes back'
	in_order 'too little memory'
}

# Clients of the relay, and its server, which reads nothing until they are
# stuck; then what was sent comes. And the same again.
cat >stuck <<'PERL'
use strict;
use IO::Select;
use IO::Socket::INET;

my $listener = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1')
    or die "listen: $!\n";
my ($sent, $came, $n) = (0, 0, 20);

alarm 100;
$| = 1;
print 'port ', $listener->sockport, "\n";
chomp(my $port = <STDIN>);
my @client = map { IO::Socket::INET->new("127.0.0.1:$port")
    or die "connect: $!\n" } 1 .. $n;
my @server = map { $listener->accept } 1 .. $n;
$_->blocking(0) for @client;
my $writers = IO::Select->new(@client);
my $readers = IO::Select->new(@server);
for my $burst (1 .. 2) {
	while (my @ready = $writers->can_write(2)) {
		$sent += syswrite($_, 'x' x 65536) // 0 for @ready;
	}
	while ($came < $sent and my @ready = $readers->can_read(20)) {
		$came += sysread $_, my $data, 65536 for @ready;
	}
	sleep 1; # the relay sees that memory is no longer short
}
close $_ for @client;
while ($readers->count and my @ready = $readers->can_read(20)) {
	for my $socket (@ready) {
		my $got = sysread $socket, my $data, 65536;

		$readers->remove($socket) if !$got;
		$came += $got;
	}
}
print "$came bytes came\n";
die "$sent were sent\n" if $came != $sent;
PERL

test_stuck() {
	mkfifo to
	perl stuck <to >stuck.out 2>&1 &
	server=$!
	servers="$servers $server"
	exec 3>to
	port_of stuck.out "$server"
	start -t 1 -l 1024 127.0.0.1 "$port"
	echo "$port" >&3
	exec 3>&-
	wait "$server"
	code=$?
	servers=$(echo "$servers" | sed "s/ $server\$//")
	cp stuck.out run.out
	ends 0 'a server that does not read for long: every byte comes'
	in_order 'stuck'
	[ "$(figure 'without a buffer:')" -gt 0 ]
	ok $? 'stuck: ends had to wait for a buffer' out
	is "$(figure 'at the hard limit:')" 0 \
		'stuck: but none of them used up what others need'
}

test_crowd() {
	ulimit -n 4096 2>/dev/null || {
		skip 3 'needs 4096 descriptors (ulimit -n)'
		return
	}
	stop_server
	echo_start
	start 127.0.0.1 "$echo_port"
	run "$examples/echo-client" "$port" 1000 "$more" \
		"$abs_top_srcdir/README"
	ends 0 '1000 at once: every byte comes back'
	in_order '1000 at once'
	[ "$(figure 'bytes of')" -ge 1000 ]
	ok $? '1000 at once: the relay had 1000 links' out
}

# A server with three addresses: none listens at the first two, one of which
# cannot even be tried.
cat >many.c <<'C'
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int getaddrinfo(const char *host, const char *service,
		const struct addrinfo *hints, struct addrinfo **found)
{
	static const char *const where[] = { "255.255.255.255", "127.9.9.9",
					     "127.0.0.1" };
	static struct sockaddr_in at[3];
	static struct addrinfo a[3];

	(void)host, (void)hints;
	for (int i = 0; i < 3; i++) {
		at[i].sin_family = AF_INET;
		at[i].sin_port = htons((unsigned short)atoi(service));
		inet_pton(AF_INET, where[i], &at[i].sin_addr);
		a[i] = (struct addrinfo){
			.ai_family = AF_INET, .ai_socktype = SOCK_STREAM,
			.ai_addr = (struct sockaddr *)&at[i],
			.ai_addrlen = sizeof at[i],
			.ai_next = i < 2 ? &a[i + 1] : NULL,
		};
	}
	*found = a;
	return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
	(void)a;
}
C

test_addresses() {
	[ "$sanitizers" = no ] || {
		skip 6 'a library is preloaded: not with sanitizers'
		return
	}
	$CC -shared -fPIC -o many.so many.c >log 2>&1
	ok $? 'the names of a server with three addresses' log
	stop_server
	echo_start
	export LD_PRELOAD="$tmp/many.so"
	start many "$echo_port"
	unset LD_PRELOAD
	run "$examples/echo-client" "$port" 20 1 "$abs_top_srcdir/README"
	ends 0 'many addresses: the relay finds the one that is served'
	in_order 'many addresses'
	none=$(free_port)
	export LD_PRELOAD="$tmp/many.so"
	start many "$none"
	unset LD_PRELOAD
	run "$examples/echo-client" "$port" 1 1 "$abs_top_srcdir/README"
	ends 1 'many addresses, no server: a client is refused'
	in_order 'many addresses, no server'
	is "$(figure 'without a server:')" 1 'and counted, once'
}

# Clients that close in the midst, in order or by a reset, or just stop
# reading for a while.
cat >cutter <<'PERL'
use strict;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);

my ($port, $n, $seed) = @ARGV;

srand $seed;
alarm 100;
$SIG{PIPE} = 'IGNORE';
for my $round (1 .. $n) {
	my @open = map { IO::Socket::INET->new("127.0.0.1:$port") // () }
	    1 .. 20;

	for my $step (1 .. 200) {
		my $i = int rand @open;
		my $how = rand;

		$open[$i]->blocking(0);
		if ($how < 0.6) {
			syswrite $open[$i], 'x' x int rand 60000;
		} elsif ($how < 0.8) {
			sysread $open[$i], my $data, int rand 60000;
		} elsif ($how < 0.85) {
			shutdown $open[$i], 1;
		} elsif ($how < 0.9) {
			setsockopt $open[$i], SOL_SOCKET, SO_LINGER,
			    pack 'ii', 1, 0;
			close $open[$i];
			$open[$i] = IO::Socket::INET->new("127.0.0.1:$port")
			    or die "the relay is gone\n";
		} elsif ($how < 0.95) {
			close $open[$i];
			$open[$i] = IO::Socket::INET->new("127.0.0.1:$port")
			    or die "the relay is gone\n";
		}
	}
}
PERL

test_cut() {
	export NPOOL_CONF=leaks:paranoid
	start 127.0.0.1 "$echo_port"
	run perl cutter "$port" $((10 * more)) 7
	ends 0 'links are cut at random'
	run "$examples/echo-client" "$port" 4 1 "$abs_top_srcdir/README"
	ends 0 'others are served all the same'
	in_order 'cut'
	[ "$(figure 'broken:')" -gt 0 ]
	ok $? 'cut: links were broken' out
	unset NPOOL_CONF

	start 127.0.0.1 "$echo_port"
	stop_server KILL
	run "$examples/echo-client" "$port" 1 1 "$abs_top_srcdir/README"
	ends 1 'without a server a client is refused'
	in_order 'without a server'
	is "$(figure 'without a server:')" 1 'and counted'
}

# ---- The end ----

test_end() {
	echo_start
	start -g 60 127.0.0.1 "$echo_port"
	"$examples/echo-client" -l "$port" 4 20 numbers >run.out 2>&1 &
	client=$!
	wait_links 4
	kill -s TERM "$pid"
	wait "$client"
	code=$?
	ends 0 'on SIGTERM what is under way goes on to its end'
	end
	ok "$code" 'then the relay ends' err
	start -g 0 127.0.0.1 "$echo_port"
	"$examples/echo-client" "$port" 4 100000 numbers >run.out 2>&1 &
	client=$!
	wait_links 4
	in_order 'without grace'
	wait "$client"
	code=$?
	ends 1 'without grace it is cut, and the client sees it'
	start -g 600 127.0.0.1 "$echo_port"
	"$examples/echo-client" "$port" 4 100000 numbers >run.out 2>&1 &
	client=$!
	wait_links 4
	kill -s TERM "$pid"
	wait_taken
	in_order 'a second signal'
	wait "$client"
	stop_server
}

# ---- redis ----

redis_calls() {
	redis-cli -p "$redis_port" info commandstats |
		sed -n "s/^cmdstat_$1:calls=\([0-9]*\),.*/\1/p"
}

redis_be() {
	exec redis-server --port "$1" --bind 127.0.0.1 --save '' \
		--appendonly no --dir "$tmp"
}

# redis_load N: returns its exit status.
redis_load() {
	timeout 100 redis-benchmark -h 127.0.0.1 -p "$port" -q -c 50 -P 16 \
		-d 1000 -r 1000 -n "$1" -t set,get,lpush,lrange_100,mset \
		>run.out 2>&1
}

test_redis() {
	has 7 redis-server redis-server redis-benchmark redis-tools || return
	serve redis_be
	redis_port=$server_port
	start 127.0.0.1 "$redis_port"
	n=$((2000 * more))
	redis_load "$n"
	code=$?
	ends 0 'redis-benchmark has no complaint'
	is "$(redis_calls set) $(redis_calls get)" "$n $n" \
		'redis has had every request, once'
	redis_load "$n"
	for round in $(seq "$rounds"); do
		redis_load "$n"
		resident
	done >grown
	diag "resident: $(tr '\n' ' ' <grown)KiB"
	# Buffers are kept for a while where a burst was; what leaks stays.
	if [ "$sanitizers" = no ]; then
		[ "$(tail -n $((rounds / 3)) grown | sort -n |
			head -n 1)" -lt $(($(head -n $((rounds / 3)) grown |
			sort -n | tail -n 1) + 6144)) ]
		ok $? 'the same load again and again takes no more memory'
	else
		skip 1 "a sanitizer's own memory is in the way"
	fi
	redis-cli -p "$port" set key "$(head -c 60000 "$library" | od -v -An -tx1 |
		tr -d ' \n')" >run.out
	redis-cli -p "$port" get key >there
	redis-cli -p "$redis_port" get key >here
	cmp there here >log && [ "$(wc -c <here)" -eq 120001 ]
	ok $? 'a large value is the same with and without the relay' log
	in_order 'redis'
	export NPOOL_CONF=leaks:paranoid
	start 127.0.0.1 "$redis_port"
	redis_load "$n"
	code=$?
	ends 0 'each buffer watched: redis-benchmark has no complaint'
	in_order 'redis, watched'
	unset NPOOL_CONF
	stop_server
}

# ---- nginx ----

nginx_conf() {
	[ "$(id -u)" -ne 0 ] || echo 'user root;'
	cat <<END
daemon off;
master_process off;
pid $tmp/nginx.pid;
error_log $tmp/nginx.log warn;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path $tmp/n1; proxy_temp_path $tmp/n2;
	fastcgi_temp_path $tmp/n3; uwsgi_temp_path $tmp/n4;
	scgi_temp_path $tmp/n5;
	server {
		listen 127.0.0.1:$1 backlog=511;
		root $tmp/html;
	}
}
END
}

nginx_be() {
	nginx_conf "$1" >nginx.conf
	exec nginx -e "$tmp/nginx.log" -p "$tmp/" -c "$tmp/nginx.conf"
}

# fetch FILE: is what comes through the relay what is there?
fetch() {
	run curl -sSf -o got "http://127.0.0.1:$port/$1"
	[ "$code" -eq 0 ] &&
		[ "$(sha256sum <got)" = "$(sha256sum <"html/$1")" ]
}

# wrk_again: has it no complaint? An answer that comes late is none.
wrk_again() {
	run wrk -t 1 -c 40 -d "$((2 * more))s" --timeout 60s \
		"http://127.0.0.1:$port/small"
	[ "$code" -eq 0 ] && grep -q ' requests in ' run.out &&
		! grep -qiE 'error|Non-2xx' run.out
}

test_nginx() {
	has 5 nginx nginx-light wrk wrk curl curl || return
	mkdir html
	head -c 32000000 /dev/urandom >html/large
	head -c 10000 html/large >html/small
	: >html/empty
	serve nginx_be
	start 127.0.0.1 "$server_port"
	for file in large small empty; do
		fetch "$file"
		ok $? "curl gets the $file file whole, by its hash" run.out
	done
	n=0
	while [ "$n" -le 50 ] && wrk_again; do
		n=$((n + $(sed -n 's/ *\([0-9]*\) requests in.*/\1/p' run.out)))
	done
	[ "$n" -gt 50 ]
	ok $? 'wrk has no complaint' run.out
	in_order 'nginx'
	stop_server
}

# ---- mariadb ----

sql() {
	mariadb --no-defaults --protocol=tcp -h 127.0.0.1 -P "$port" -u root \
		-N -B "$@"
}

checksum() {
	sql "$1" -e 'CHECKSUM TABLE things' | cut -f2
}

mariadb_be() {
	[ "$(id -u)" -ne 0 ] || root=--user=root
	exec mariadbd --no-defaults --datadir="$tmp/maria" \
		--bind-address=127.0.0.1 --port="$1" ${root:-} \
		--socket="$tmp/maria.sock" --skip-name-resolve \
		--innodb-log-file-size=8M --innodb-flush-log-at-trx-commit=0 \
		--pid-file="$tmp/maria.pid"
}

mariadb_start() {
	run mariadb-install-db --no-defaults --force --datadir="$tmp/maria" \
		--auth-root-authentication-method=normal --skip-test-db \
		--skip-name-resolve --skip-log-bin --innodb-log-file-size=8M
	[ "$code" -eq 0 ] || bail_out "mariadb-install-db: $(cat run.out)"
	serve mariadb_be
	maria_port=$server_port
}

test_mariadb() {
	has 7 mariadbd mariadb-server-core \
		mariadb-install-db mariadb-server-core \
		mariadb mariadb-client-core \
		mariadb-slap mariadb-client mariadb-dump mariadb-client ||
		return
	mariadb_start
	start 127.0.0.1 "$maria_port"
	run mariadb-slap --no-defaults --protocol=tcp -h 127.0.0.1 \
		-P "$port" -u root --auto-generate-sql --concurrency=20 \
		--auto-generate-sql-load-type=mixed \
		--number-of-queries=$((1000 * more))
	ends 0 'mariadb-slap has no complaint'
	sql >run.out 2>&1 -e "CREATE DATABASE one; CREATE DATABASE two; USE one;
	CREATE TABLE things (id INT PRIMARY KEY, name VARCHAR(40),
	    body LONGBLOB);
	INSERT INTO things SELECT seq, SHA1(seq),
	    REPEAT(UNHEX(SHA2(seq, 256)), 50 + seq % 300)
	    FROM seq_1_to_2000"
	code=$?
	ends 0 'a table of some MiB is made'
	run sh -c 'mariadb-dump --no-defaults --protocol=tcp -h 127.0.0.1 \
		-P "$1" -u root --hex-blob one things >dump &&
	mariadb --no-defaults --protocol=tcp -h 127.0.0.1 -P "$1" -u root \
		two <dump' sh "$port"
	ends 0 'it is dumped and restored through the relay'
	is "$(checksum two)" "$(checksum one | grep '^[1-9][0-9]*$')" \
		'the restored one has the same checksum'
	in_order 'mariadb'
	export NPOOL_CONF=leaks:paranoid
	start 127.0.0.1 "$maria_port"
	is "$(checksum one)" "$(checksum two)" \
		'each buffer watched: the checksums are the same'
	in_order 'mariadb, watched'
	unset NPOOL_CONF
	stop_server
}

plan 62
test_usage
test_echo
test_crowd
test_addresses
test_cut
test_stuck
test_end
test_redis
test_nginx
test_mariadb
finish
