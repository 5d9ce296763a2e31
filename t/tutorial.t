#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# npool_tutorial(7): each step is a program that sends back what it gets, to the
# byte; the later ones end in order and with all their buffers, also with little
# memory, with few descriptors and on two nodes. And what the page shows is what
# they have.
. "${0%/*}/tap.sh"
need perl perl

examples=$abs_top_builddir/examples
page=$abs_top_srcdir/man/npool_tutorial.7
unset NPOOL_CONF
cd "$tmp" || exit 99
pid= idle=
trap 'kill -KILL $pid $idle 2>/dev/null; rm -rf "$tmp"' EXIT
awk 'BEGIN { for (i = 0; i < 100000; i++) print i }' >numbers

# start N [KIB]: the program of step N, with that limit; its port is in $port.
start() {
	: >out
	"$examples/tutorial-$1" $2 >out 2>err &
	pid=$! tenths=0 port=
	while [ -z "$port" ] && [ "$tenths" -lt 300 ] && kill -0 "$pid"; do
		sleep 0.1
		port=$(sed -n '1s/^port \([0-9]*\).*/\1/p' out)
		tenths=$((tenths + 1))
	done 2>/dev/null
	[ -n "$port" ] || bail_out "no port of step $1: $(cat out err)"
}

# end: SIGTERM; the exit status is in $code.
end() {
	kill -s TERM "$pid"
	wait "$pid" 2>/dev/null
	code=$?
	pid=
}

# echoes CLAIM [OPTION]: late clients, by -l, get the server's sends stuck.
echoes() {
	timeout 120 "$examples/echo-client" $2 "$port" 30 1 numbers >log 2>&1
	ok $? "$1: every byte comes back" log
}

# in_order CLAIM: the server ends so, and nothing is left.
in_order() {
	end
	cat out err >log
	[ "$code" -eq 0 ] && grep -qx 'every buffer came back' out &&
		[ ! -s err ]
	ok $? "$1: it ends, and every buffer came back" log
}

# Clients that send more than the server has buffers for, and then read, while
# another one is never silent for as long as it takes until the hungry try again.
cat >mute <<'PERL'
use strict;
use IO::Select;
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_RCVBUF SO_SNDBUF inet_aton pack_sockaddr_in);

my $port = shift;
my ($sent, $came, $rings) = (0, 0, 0);

# With little room in the kernel, so that the server is stuck soon.
sub connected {
	my $socket = IO::Socket::INET->new(Proto => 'tcp');

	$socket->setsockopt(SOL_SOCKET, $_, 16384) for SO_RCVBUF, SO_SNDBUF;
	$socket->connect(pack_sockaddr_in($port, inet_aton('127.0.0.1')))
	    or die "connect: $!\n";
	return $socket;
}

sub ring {
	my $socket = shift;

	syswrite $socket, 'x';
	sysread($socket, my $data, 1) == 1 or die "no answer\n";
}

alarm 90;
my $busy = connected;
ring($busy) for 1 .. 100; # small reads from now on
my @mute = map { connected } 1 .. 8;
$_->blocking(0) for @mute;
my $writers = IO::Select->new(@mute);
my $until = time + 3;
while (time < $until and my @ready = $writers->can_write(1)) {
	$sent += syswrite($_, 'x' x 8192) // 0 for @ready;
}
my $child = fork // die "fork: $!\n";
if (!$child) {
	ring($busy) while getppid != 1;
	exit;
}
for (@mute) {
	$_->setsockopt(SOL_SOCKET, SO_RCVBUF, 1 << 20);
	$_->shutdown(1);
}
my $readers = IO::Select->new(@mute);
while ($readers->count and my @ready = $readers->can_read) {
	for my $socket (@ready) {
		my $got = sysread $socket, my $data, 65536;

		next if !defined $got && $!{EAGAIN};
		$readers->remove($socket) if !$got;
		$came += $got;
	}
}
kill 'KILL', $child;
waitpid $child, 0;
print "$came bytes of $sent\n";
exit($came != $sent);
PERL

# ticks: of CPU time that the server has used, a hundredth of a second each.
ticks() {
	sed 's/.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }'
}

# shown: the lines of the page's programs, each behind its file.
shown() {
	awk '/^\.\\" from / { file = $3; next }
	/^\.Bd/ { on = file != ""; next }
	/^\.Ed/ { on = 0; file = ""; next }
	on { sub(/^[ \t]+/, ""); print file "\t" $0 }' "$page"
}

# strange: those that the program does not have, but for their indentation.
strange() {
	shown | while IFS='	' read -r file line; do
		[ -z "$line" ] || sed 's/^[	 ]*//' \
			"$abs_top_srcdir/$file" | grep -qxF -e "$line" ||
			echo "$file: $line"
	done
}

plan 29
for step in 1 2; do
	start $step
	echoes "step $step"
	echoes "step $step, late clients" -l
	end
	is "$code" 143 "step $step: it has no end of its own"
done

for step in 3 4; do
	export NPOOL_CONF=nodes:2,leaks:paranoid
	start $step
	echoes "step $step, on two nodes, each buffer watched"
	echoes "step $step, late clients" -l
	in_order "step $step"
	unset NPOOL_CONF
done
cp out out.4

# Less memory than two buffers of 64 KiB.
for step in 3 4; do
	start $step 128
	echoes "step $step, little memory, late clients" -l
	timeout 100 perl mute "$port" >log 2>&1
	ok $? "step $step, little memory: the hungry are fed while others eat" \
		log
	in_order "step $step, little memory"
	[ "$(sed -n 's/ times there was no buffer$//p' out)" -gt 0 ]
	ok $? "step $step, little memory: there were hungry ones" out
done
timeout 10 "$examples/tutorial-3" x >log 2>&1
is "$?" 1 'a limit that is no number is an error'

# More clients than descriptors: some wait, and the server sleeps meanwhile.
most=$(ulimit -S -n)
ulimit -S -n 16
start 3
ulimit -S -n "$most"
echoes 'step 3, few descriptors'
perl -MIO::Socket::INET -e 'my @open = map {
	IO::Socket::INET->new("127.0.0.1:$ARGV[0]") // () } 1 .. 40;
	sleep 60' "$port" &
idle=$!
sleep 1
before=$(ticks)
sleep 1
after=$(ticks)
kill "$idle"
wait "$idle" 2>/dev/null
[ $((after - before)) -lt 30 ]
ok $? 'step 3, few descriptors: it does not spin' out
in_order 'step 3, few descriptors'

threads=$(grep -c '^cpu [0-9]*, node [0-9]*: [0-9]* messages$' out.4)
is "$threads" "$(nproc)" 'step 4: a thread for each CPU'
is "$(sed -n 's/^cpu \([0-9]*\),.*/\1/p' out.4 | sort -u | wc -l)" "$threads" \
	'and each on its own'

[ "$(shown | wc -l)" -ge 25 ]
ok $? 'the page shows parts of the programs'
is "$(strange)" '' 'what the page shows is in the programs'
is "$(grep -o 'tutorial-[1-4]\.c' "$page" | sort -u | tr '\n' ' ')" \
	'tutorial-1.c tutorial-2.c tutorial-3.c tutorial-4.c ' \
	'the page names each of them'
finish
