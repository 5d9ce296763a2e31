#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# The echo server and its client, of examples/. What was sent comes back, to
# the byte, also with two nodes and with too little memory; the server ends in
# order, its pool empty, also in the midst of work. And the client would have
# seen it otherwise: servers that are wrong by one byte are found out.
. "${0%/*}/tap.sh"
need perl perl

server=$abs_top_builddir/examples/echo-server
client=$abs_top_builddir/examples/echo-client
set -- "$abs_top_srcdir/README" "$abs_top_srcdir/t/echo.t" \
	"$abs_top_builddir/lib/.libs/libnpool.so"
bytes=$(cat "$@" | wc -c)
unset NPOOL_CONF
export LC_ALL=C
cd "$tmp" || exit 99
pids=
trap 'kill -KILL $pids 2>/dev/null; rm -rf "$tmp"' EXIT

# start COMMAND...: starts a server and waits until it says its port, in $port.
start() {
	: >out
	"$@" >out 2>err &
	pid=$!
	pids="$pids $pid" tenths=0 port=
	while [ -z "$port" ] && [ "$tenths" -lt 300 ] && kill -0 "$pid"; do
		sleep 0.1
		port=$(sed -n '1s/^port \([0-9]*\).*/\1/p' out)
		tenths=$((tenths + 1))
	done 2>/dev/null
	[ -n "$port" ] || bail_out "no port of $*: $(cat out err)"
}

# end [SIGNAL]: sends it to the server; its exit status is in $code.
end() {
	[ $# -eq 0 ] || kill -s "$1" "$pid"
	wait "$pid"
	code=$?
	pids=
}

# run COMMAND...: its exit status is in $code, what it said in out and err.
run() {
	timeout 120 "$@" >run.out 2>run.err
	code=$?
}

# ends CODE CLAIM: the last run ended so.
ends() {
	{
		echo "exit status $code, wanted $1"
		cat run.out run.err
	} >log
	[ "$code" -eq "$1" ]
	ok $? "$2" log
}

# figure BEFORE: the number behind BEFORE in what the server said.
figure() {
	sed -n "s/.*$1 \([0-9][0-9]*\).*/\1/p" out
}

# all_back HOW CONNECTIONS ROUNDS [FILE...]: loads the server, ends it, and
# claims that both have seen all the bytes.
all_back() {
	how=$1 total=$(($2 * $3 * bytes))
	shift
	run "$client" $late "$port" "$@"
	ends 0 "$how: every byte comes back"
	is "$(sed -n 's/ bytes came.*//p' run.out)" "$total of $total" \
		"$how: the client has counted them"
	end TERM
	ok "$code" "$how: on SIGTERM the server ends, its pool empty" err
	is "$(sed -n '/^echoed/p' out)" \
		"echoed: $total bytes; connections cut off: 0" \
		"$how: the server has counted as many bytes"
}

# ---- The command line ----

plan 47
for program in server client; do
	run "$abs_top_builddir/examples/echo-$program" --help
	ends 0 "echo-$program --help"
	is "$(sed -n '1s/ \[.*//p' run.out)" "usage: echo-$program" \
		"echo-$program --help says how to use it"
done
for wrong in '-p 65536' '-t 0' '-s x' '-l 63' 'more' '-z'; do
	run "$server" $wrong
	ends 2 "echo-server $wrong is bad usage"
done
: >empty
for wrong in '1 2 3' '0 1 1 err' '1 1 1x err' '1 1 1 none' '1 1 1 empty'; do
	: >err
	run "$client" $wrong
	ends 2 "echo-client $wrong is bad usage"
done

# ---- What comes back ----

late=
start "$server"
threads=$(sed -n '1s/.*threads //p' out)
pinned=$(sed -n 's/^Cpus_allowed_list:[^0-9]*\([0-9]*\)$/\1/p' \
	"/proc/$pid/task/"*/status | sort -u | wc -l)
is "$pinned" "$threads" 'each thread is pinned to a CPU of its own'
all_back 'a thread a CPU' 8 3 "$@"
is "$(grep -c '^pool echo$' out)" 1 'it prints the figures of its pool'
is "$(grep '^cpu ' out | grep -c ' 0 buffers of another node$')" "$threads" \
	'all buffers were of the node of their thread'

# A late client reads only when it cannot write: the server's writes get stuck.
late=-l
export NPOOL_CONF=nodes:2
start "$server"
all_back 'two nodes, late clients' 8 2 "$@"
unset NPOOL_CONF

# 32 times a small buffer is twice the limit.
start "$server" -t 1 -l 64
is "$(sed -n 1p out)" "port $port, threads 1" 'no more threads than it may'
all_back 'too little memory' 32 1 "$@"

# Clients that read nothing until the server takes nothing more: it then has a
# buffer for each of them, or holds them back.
cat >mute <<'PERL'
use strict;
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_RCVBUF);

my ($port, $n) = @ARGV;
my (@sent, @came, %number);
my $writers = IO::Select->new;

alarm 100;
for my $i (0 .. $n - 1) {
	my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port")
	    or die "connect: $!\n";
	$socket->setsockopt(SOL_SOCKET, SO_RCVBUF, 16384);
	$socket->blocking(0);
	$number{$socket} = $i;
	$writers->add($socket);
}
my @sockets = $writers->handles;
while (my @ready = $writers->can_write(3)) {
	for my $socket (@ready) {
		my $i = $number{$socket};
		$sent[$i] += syswrite($socket, chr(65 + $i) x 8192) // 0;
	}
}
for my $socket (@sockets) {
	$socket->setsockopt(SOL_SOCKET, SO_RCVBUF, 1 << 20);
	$socket->shutdown(1);
}
my $readers = IO::Select->new(@sockets);
while ($readers->count) {
	for my $socket ($readers->can_read) {
		my $i = $number{$socket};
		my $got = sysread $socket, my $data, 65536;
		next if !defined $got && $!{EAGAIN};
		$readers->remove($socket) if !$got;
		$came[$i] += length $data;
		die "connection $i: another's byte\n"
		    if $data =~ /[^${\ chr(65 + $i)}]/;
	}
}
for my $i (0 .. $n - 1) {
	die "connection $i: $came[$i] bytes of $sent[$i]\n"
	    if $came[$i] != $sent[$i];
}
PERL
start "$server" -t 1 -l 64
run perl mute "$port" 20
ends 0 'mute clients: every byte comes back when they read'
end TERM
ok "$code" 'mute clients: on SIGTERM the server ends, its pool empty' err
[ "$(figure hard)" -gt 0 ] && [ "$(figure 'held back:')" -gt 0 ]
ok $? 'mute clients: the limit was met, connections were held back' out

late=
start sh -c 'ulimit -n 16 && exec "$0" -t 1' "$server"
all_back 'few descriptors' 32 1 "$@"
grep -q 'a connection has to wait: Too many open files' err
ok $? 'few descriptors: connections had to wait' err

# ---- In the midst ----

start "$server" -l 1024
"$client" -l "$port" 16 1000000 "$@" >run.out 2>run.err &
pids="$pids $!" busy=$!
sleep 1
end INT
ok "$code" 'on SIGINT, under load, the server ends, its pool empty' err
wait "$busy"
code=$?
ends 1 'the client says that bytes are missing'

start "$server" -s 1
end
ok "$code" 'with -s it ends by itself' err
run "$client" "$port" 1 1 "$@"
ends 1 'a client without a server fails'

# ---- Servers that are wrong ----

cat >wrong <<'PERL'
use strict;
use IO::Socket::INET;

my ($how, $at) = @ARGV;
my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
    or die "listen: $!\n";

alarm 60;
$| = 1;
print 'port ', $listener->sockport, "\n";
my $client = $listener->accept;
while (sysread $client, my $data, 5000) {
	my $here = $at >= 0 && $at < length $data;

	exit if $here && $how eq 'cut';
	substr($data, $at, 1) ^= "\1" if $here && $how eq 'flip';
	substr($data, $at, 1) = '' if $here && $how eq 'drop';
	$at -= length $data;
	while (length $data) {
		my $n = syswrite $client, $data or exit;
		substr $data, 0, $n, '';
	}
}
syswrite $client, 'x' if $how eq 'more';
PERL
awk 'BEGIN { for (i = 0; i < 30000; i++) printf "%d\n", i }' >numbers

# found HOW AT TEXT: a server that is wrong at byte AT; the client says TEXT.
found() {
	start perl wrong "$1" "$2"
	run "$client" "$port" 1 1 numbers
	kill "$pid" 2>/dev/null
	wait "$pid"
	pids=
	grep -q "connection 0: $3" run.err
	[ "$code $?" = '1 0' ]
	ok $? "a server that does this to a byte is found out: $1" run.err
}

last=$(($(wc -c <numbers) - 1))
found flip 100000 'file 1, numbers, offset 100000: 0x.. was sent, 0x.. came'
found drop "$last" 'the server has ended it'
found more -1 'more came back than was sent'
found cut 100000 '.* bytes were right'
finish
