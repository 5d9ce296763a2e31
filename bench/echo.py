#!/usr/bin/python3
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
"""Echo servers side by side: what the memory of a server costs.

The echo server of examples/ on npool, the same source on malloc (glibc's, and
jemalloc, tcmalloc and mimalloc by preload), and Netty's. One client loads them
in turn, a row for each size of message and number of connections: all servers
of a row run at once, and in each round the client takes one after another, in
an order that is drawn anew (but the same in each run): who goes before leaves
connections to be closed. Server and client have CPUs of their own.

A figure is messages in a second of the server's CPU time, by the scheduler's
count; beside it stands what part of that time the kernel took, by its ticks in
all of the row: no allocator can do anything about that. The ratio is npool's
CPU time for a message to the other's, the geometric mean of the rounds, and its
upper 95 % bound (figures.py). Below a row stands whether these bounds are as
wanted (WANTED).
"""

import argparse
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # nothing is left in the source tree
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from figures import median, paired_ratio, short  # noqa: E402
from peers import JAVA, PEERS, find_library  # noqa: E402

JARS = [f"/usr/share/java/netty-{part}.jar"
        for part in ("buffer", "common", "transport", "resolver")]
OURS = "npool"
SIZES = (64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10)
CONNECTIONS = (1, 10, 200)
QUICK_SIZES, QUICK_CONNECTIONS = (64, 16 << 10), (10,)
ROUNDS, MS, WARM_MS = 25, 120, 40
QUICK_ROUNDS, QUICK_MS = 3, 150
START_SECONDS = 30
NETTY_WARM_MS = 3000  # until what it does is compiled
# (least and most bytes of a message, against whom, what the upper bound of
# npool's cost to his shall be at most, or below)
WANTED = ((0, (16 << 10) - 1, "malloc", "at most", 1.03),
          (16 << 10, 1 << 40, "malloc", "below", 1.0),
          (0, 4 << 10, "netty", "at most", 0.5))


def say(text):
    print(f"echo: {text}", file=sys.stderr, flush=True)


def die(text):
    say(text)
    sys.exit(1)


def arguments():
    p = argparse.ArgumentParser(
        prog="echo.py", description="Measures the echo server of examples/ on "
        "npool beside the same on other mallocs, and Netty's.",
        epilog="Environment: top_builddir, where libnpool was built (build/). "
        "Exit status: 0 measured; 1 something is missing or failed; 2 bad "
        "usage.")
    p.add_argument("--quick", action="store_true", help="fewer rows, shorter")
    p.add_argument("--rounds", type=int, metavar="N",
                   help=f"default {ROUNDS}, quick {QUICK_ROUNDS}")
    p.add_argument("--ms", type=float, metavar="MS",
                   help=f"of a sample; default {MS}, quick {QUICK_MS}")
    p.add_argument("--rows", metavar="REGEX", default="",
                   help='only rows whose name has a match: "echo 4K x10"')
    p.add_argument("--contestants", metavar="LIST",
                   help="only these: npool,glibc,jemalloc,tcmalloc,mimalloc,"
                   "netty")
    p.add_argument("-j", "--json", metavar="FILE",
                   help="write all samples as JSON")
    args = p.parse_args()
    if args.rounds is not None and args.rounds < 1 or (
            args.ms is not None and not args.ms > 0):
        p.error("--rounds and --ms must be positive")
    try:
        re.compile(args.rows)
    except re.error as e:
        p.error(f"--rows: {e}")
    args.rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    args.ms = args.ms or (QUICK_MS if args.quick else MS)
    return args


def rows(args):
    sizes = QUICK_SIZES if args.quick else SIZES
    conns = QUICK_CONNECTIONS if args.quick else CONNECTIONS
    for size in sizes:
        text = str(size) if size < 1024 else f"{size >> 10}K"
        for n in conns:
            if re.search(args.rows, f"echo {text} x{n}"):
                yield f"echo {text} x{n}", size, n


# ---- Servers ----


def contestants(args, build, tmp):
    """[(name, command, library to preload, warm-up in ms)]"""
    plain = os.path.join(build, "bench", "echo-malloc")
    found = [(OURS, [os.path.join(build, "examples", "echo-server")], None,
              WARM_MS), ("glibc", [plain], None, WARM_MS)]
    for name, file, package in PEERS:
        path = find_library(file)
        if path:
            found.append((name, [plain], path, WARM_MS))
        else:
            say(f"without {name}: install {package}")
    if all(map(os.path.exists, JARS)) and shutil.which("javac"):
        found.append(("netty", JAVA + ["-cp", ":".join([tmp] + JARS),
                                       "EchoServer"], None, NETTY_WARM_MS))
    else:
        say("without netty: install libnetty-java and default-jdk-headless")
    if args.contestants is not None:
        names = args.contestants.split(",")
        unknown = set(names) - {c[0] for c in found}
        if unknown:
            die("no such contestant: " + ", ".join(sorted(unknown)))
        found = [c for c in found if c[0] in names]
    for _, command, _, _ in found:
        if "/" in command[0] and not os.path.exists(command[0]):
            die(f"{command[0]} is missing: make {command[0]}")
    if any(c[0] == "netty" for c in found):
        subprocess.run(["javac", "-nowarn", "-cp", ":".join(JARS), "-d", tmp,
                        os.path.join(HERE, "EchoServer.java")], check=True)
    return found


def halves():
    """CPUs of the server, and of the client: the same one if it is alone."""
    cpus = sorted(os.sched_getaffinity(0))
    middle = max(1, len(cpus) // 2)
    return cpus[:middle], cpus[middle:] or cpus


class Server:
    def __init__(self, who, cpus):
        self.name, command, library, self.warm_ms = who
        env = {k: v for k, v in os.environ.items()
               if k not in ("LD_PRELOAD", "NPOOL_CONF", "MALLOC_CONF")}
        if library:
            env["LD_PRELOAD"] = library
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus))
        # Its first line comes whole.
        line = "it says nothing"
        if select.select([self.process.stdout], [], [], START_SECONDS)[0]:
            line = self.process.stdout.readline()
        found = re.match(r"port (\d+)", line)
        if not found:
            self.stop()
            die(f"{self.name} does not start: {line}")
        self.port = found[1]

    def kernel_share(self):
        """Of its CPU time so far: proc(5), utime and stime."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as f:
            fields = f.read().rpartition(")")[2].split()
        user, kernel = int(fields[11]), int(fields[12])
        return kernel / max(1, user + kernel)

    def stop(self):
        self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.communicate(timeout=START_SECONDS)
        except (subprocess.TimeoutExpired, ValueError):
            self.process.kill()
            self.process.wait()


# ---- Samples ----


def sample(load, server, conns, size, warm_ms, ms, cpus):
    done = subprocess.run(
        [load, server.port, str(conns), str(size), str(warm_ms), str(ms),
         str(server.process.pid)], capture_output=True, text=True, check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    words = done.stdout.split()
    if done.returncode != 0 or len(words) != 12:
        die(f"{server.name}: {done.stdout}{done.stderr}")
    s = {k: float(v) for k, v in zip(words[::2], words[1::2])}
    if not s["messages"] or not s["cpu"]:
        die(f"{server.name}: nothing was measured; --ms is too short")
    s["cost"] = s["cpu"] / s["messages"]
    return s


def measure(row, who, load, args):
    name, size, conns = row
    ours, theirs = halves()
    servers = []
    taken = {}
    try:
        for w in who:
            servers.append(Server(w, ours))
        for s in servers:
            sample(load, s, conns, size, s.warm_ms, min(args.ms, 50), theirs)
        for number in range(args.rounds):
            for s in random.Random(number).sample(servers, len(servers)):
                taken.setdefault(s.name, []).append(
                    sample(load, s, conns, size, WARM_MS, args.ms, theirs))
        kernel = {s.name: s.kernel_share() for s in servers}
    finally:
        for s in servers:
            s.stop()
    return {"name": name, "size": size, "connections": conns, "taken": taken,
            "kernel": kernel}


# ---- The table ----


def column(samples, key):
    return [s[key] for s in samples]


HEAD = (f"{'row':<16}{'server':<10}{'msg/cpu-s':>10}{'kernel':>8}{'p50 us':>9}"
        f"{'p99 us':>9}{'p99.9 us':>10}{'rss MiB':>9}   npool's cost to its")


def to_ours(row, name):
    """npool's cost to his: (ratio, its upper bound)."""
    return paired_ratio(column(row["taken"][OURS], "cost"),
                        column(row["taken"][name], "cost"))


def verdict(row):
    """Is the worst bound of each kind as WANTED? None: there is no other."""
    said, good = [], True
    others = [name for name in row["taken"] if name != OURS]
    if OURS not in row["taken"]:
        return None
    for least, most, whom, how, limit in WANTED:
        bounds = {name: to_ours(row, name)[1] for name in others
                  if (name == "netty") == (whom == "netty")}
        if not bounds or not least <= row["size"] <= most:
            continue
        worst = max(bounds, key=bounds.get)
        bound = bounds[worst]
        good &= bound < limit or how == "at most" and bound == limit
        said.append(f"{bound:.3f} to {worst} ({how} {limit:g})")
    if not said:
        return None
    return ("as wanted: " if good else "NOT as wanted: ") + ", ".join(said)


def write_json(file, done):
    with open(file, "w", encoding="utf-8") as f:
        json.dump(done, f, indent=1)


def line(row, name):
    samples = row["taken"][name]
    text = f"{row['name']:<16}{name:<10}" \
           f"{short(1 / median(column(samples, 'cost'))):>10}" \
           f"{row['kernel'][name]:>8.0%}"
    for key, width in (("p50", 9), ("p99", 9), ("p999", 10)):
        text += f"{median(column(samples, key)) / 1e3:>{width}.1f}"
    text += f"{median(column(samples, 'rss')) / 1024:>9.1f}"
    if name != OURS and OURS in row["taken"]:
        ratio, bound = to_ours(row, name)
        text += f"   {ratio:.3f} (at most {bound:.3f})"
    return text


def main():
    args = arguments()
    build = os.environ.get("top_builddir") or os.path.join(HERE, "..", "build")
    load = os.path.join(build, "bench", "echo-load")
    chosen = list(rows(args))
    if not chosen:
        die(f"no row has a match for {args.rows}")
    if not os.path.exists(load):
        die(f"{load} is missing: make bench/echo-load")
    done = []
    with tempfile.TemporaryDirectory(prefix="npool-echo.") as tmp:
        who = contestants(args, build, tmp)
        print(time.strftime("%Y-%m-%d %H:%M") + f", {args.rounds} rounds of "
              f"{args.ms:g} ms, interleaved; medians\n{HEAD}", flush=True)
        for row in chosen:
            done.append(measure(row, who, load, args))
            for name, *_ in who:
                print(line(done[-1], name), flush=True)
            if verdict(done[-1]):
                print(f"{row[0]:<16}{verdict(done[-1])}", flush=True)
            if args.json:  # what is measured is kept, whatever comes
                write_json(args.json, done)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        die("stopped")
