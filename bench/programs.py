# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
"""The rows of kind "program": what a real program does under each malloc.

Each program has make(), which writes its input into a folder once, and run(),
which runs it under the harness (that prints what it took) with a library
preloaded. Inputs are made here, the same each time.
"""

import os
import random
import re
import shutil
import subprocess
import time

SECONDS = 300  # after which a program hangs
SERVER_SECONDS = 20  # in which a server begins to listen

PYTHON_JOB = """
import json
rows = [{"id": i, "name": f"user{i * 7919 %% 100003}", "tags": [str(j) for j in
         range(i %% 7)], "text": "x" * (i %% 200)} for i in range(%d)]
text = json.dumps(rows)
back = json.loads(text)
by_name = {}
for r in back:
    by_name.setdefault(r["name"][:6], []).append(r)
for k in sorted(by_name):
    by_name[k].sort(key=lambda r: r["text"])
words = " ".join(r["name"] for r in back).split()
print(len(text), len(by_name), len(set(words)))
"""

SQL_JOB = """
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, n INTEGER, note TEXT);
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d)
INSERT INTO t SELECT i, 'name' || (i * 7919 %% 100003), i * 31 %% 1000,
	substr('abcdefghijklmnopqrstuvwxyz0123456789', 1, i %% 36) FROM c;
CREATE INDEX by_name ON t(name);
CREATE INDEX by_n ON t(n, note);
SELECT count(*), sum(length(note)) FROM t WHERE name LIKE 'name1%%';
SELECT n, group_concat(name) FROM t GROUP BY n ORDER BY count(*), n LIMIT 3;
UPDATE t SET note = note || name WHERE n < 300;
DELETE FROM t WHERE n %% 7 = 3;
SELECT count(*) FROM t a JOIN t b ON a.name = b.name;
"""


class Failed(Exception):
    pass


class Program:
    """A command that reads its input and ends."""

    needs = ()  # programs, with the package that has each
    unit = "run"
    environment = {}

    def __init__(self, quick):
        self.part = 0.25 if quick else 1.0

    def missing(self):
        return [package for program, package in self.needs
                if not shutil.which(program)]

    def make(self, folder):
        self.folder = folder

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def preload(self, library):
        return library

    def launch(self, harness, library):
        preload = self.preload(library)
        return [harness] + (["-p", preload] if preload else []) + ["--run"]

    def command(self):
        raise NotImplementedError

    def run(self, harness, library, env):
        """Returns (CPU seconds, wall seconds, peak KiB)."""
        done = subprocess.run(
            self.launch(harness, library) + self.command(), check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, timeout=SECONDS,
            env={**env, **self.environment})
        return took(self.name, done.returncode, done.stderr)


def took(name, status, text):
    """Reads what the harness said of a program."""
    found = re.search(r"^took cpu (\S+) wall (\S+) rss (\d+)$", text, re.M)
    if status != 0 or not found:
        raise Failed(f"{name} ended with {status}: {text.strip()}")
    return float(found[1]), float(found[2]), int(found[3])


class Start(Program):
    """What each process of a shell script pays."""

    name, unit = "/bin/true", "start"
    TIMES = 20  # a round; 15 rounds are 300 pairs with the empty library

    def command(self):
        return ["/bin/true"]

    def run(self, harness, library, env):
        all_runs = sorted(super(Start, self).run(harness, library, env)
                          for _ in range(self.TIMES))
        return all_runs[self.TIMES // 2]


class Python(Program):
    """Objects and strings; each of them by malloc, not from Python's own
    arenas."""

    name = "python3"
    needs = (("python3", "python3"),)
    environment = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}

    def make(self, folder):
        super().make(folder)
        self.job = self.write("job.py", PYTHON_JOB % int(40000 * self.part))

    def command(self):
        return ["python3", "-S", self.job]


class Gcc(Program):
    """A compiler: very many small pieces, of which few are freed."""

    name = "gcc"
    needs = (("gcc", "gcc"),)
    FUNCTION = """
int f%(i)d(struct s *p, int n)
{
	int sum = %(a)d;

	for (int i = 0; i < n; i++) {
		switch ((p[i].a ^ %(b)d) & 7) {
		case 0: sum += p[i].b * %(a)d; break;
		case 1: sum ^= p[i].a << (i & %(c)d); break;
		case 2: sum -= p[i ? i - 1 : 0].b; break;
		case %(c)d: p[i].b = sum; break;
		default: sum += p[i].a > %(b)d ? %(a)d : sum / (i + 1);
		}
	}
	return sum%(call)s;
}
"""

    def make(self, folder):
        super().make(folder)
        chance = random.Random(1)
        text = ["struct s { int a, b; };\n"]
        for i in range(int(120 * self.part)):
            text.append(self.FUNCTION % {
                "i": i, "a": chance.randrange(1000), "b": chance.randrange(99),
                "c": chance.randrange(3, 8),
                "call": f" + f{chance.randrange(i)}(p, n / 2)" if i else ""})
        self.source = self.write("large.c", "".join(text))

    def command(self):
        return ["gcc", "-O2", "-c", "-o", os.path.join(self.folder, "large.o"),
                self.source]


class Xz(Program):
    """A few large blocks, and all the time spent in them."""

    name = "xz"
    needs = (("xz", "xz-utils"),)

    def make(self, folder):
        super().make(folder)
        chance = random.Random(2)
        words = ["".join(chance.choices("abcdefghijklmnopqrst", k=k % 9 + 2))
                 for k in range(3000)]
        self.text = self.write("text", " ".join(
            chance.choices(words, k=int(250000 * self.part))))

    def command(self):
        return ["xz", "-6", "-T1", "-k", "-c", self.text]


class Sqlite(Program):
    """A data base in memory: pages, and the pieces of a query."""

    name = "sqlite3"
    needs = (("sqlite3", "sqlite3"),)

    def make(self, folder):
        super().make(folder)
        self.job = self.write("job.sql", SQL_JOB % int(120000 * self.part))

    def command(self):
        return ["sqlite3", "-batch", ":memory:", f".read {self.job}"]


class Redis(Program):
    """A data base server under load, on a socket in a folder of its own."""

    name = "redis"
    needs = (("redis-server", "redis-server"),
             ("redis-benchmark", "redis-tools"))

    def preload(self, library):
        # It links jemalloc: glibc's malloc must be asked for.
        return library or "libc.so.6"

    def wait(self, server, socket):
        end = time.monotonic() + SERVER_SECONDS
        while not os.path.exists(socket):
            if server.poll() is not None or time.monotonic() > end:
                server.kill()
                raise Failed(f"redis-server: {server.communicate()[1]}")
            time.sleep(0.01)

    def run(self, harness, library, env):
        socket = os.path.join(self.folder, "redis.socket")
        server = subprocess.Popen(
            self.launch(harness, library)
            + ["redis-server", "--port", "0", "--unixsocket", socket,
               "--save", "", "--appendonly", "no", "--dir", self.folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, env=env)
        self.wait(server, socket)
        try:
            self.load(socket)
        finally:
            subprocess.run(["redis-cli", "-s", socket, "shutdown", "nosave"],
                           stdout=subprocess.DEVNULL, check=False)
            _, text = server.communicate(timeout=SECONDS)
        return took(self.name, server.returncode, text)

    def load(self, socket):
        subprocess.run(
            ["redis-benchmark", "-s", socket, "-q", "-c", "50", "-P", "16",
             "-n", str(int(100000 * self.part)), "-r", "50000", "-d", "256",
             "-t", "set,get,incr,lpush,lpop,sadd,hset"],
            check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)


ALL = (Redis, Python, Gcc, Xz, Sqlite, Start)
