# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# job-python.py - many Python objects, every one of them by malloc.
#
# Run by face-programs.t.  Python's own small-object allocator would keep
# nearly everything from malloc, so the job starts itself again with
# PYTHONMALLOC=malloc and with a fixed hash seed.
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import threading
import zlib

FIXED = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}


def say(what, value):
    text = repr(value).encode()
    print(what, len(text), hashlib.sha256(text).hexdigest(), flush=True)


def sort_objects():
    rng = random.Random(1)
    rows = [(rng.randrange(10**6), "x" * rng.randrange(200), i)
            for i in range(60000)]
    rows.sort()
    return rows[::101]


def hash_objects():
    table = {}
    for i in range(80000):
        table.setdefault(f"key{i * 7919 % 30011}", []).append(i)
    for i in range(0, 30011, 3):
        del table[f"key{i}"]
    return sorted((k, sum(v)) for k, v in table.items())


def through_json():
    tree = {str(i): {"list": list(range(i % 40)), "text": "é" * (i % 90),
                     "sub": {"n": i / 7, "none": None}} for i in range(4000)}
    again = json.loads(json.dumps(tree))
    assert again == tree
    return json.dumps(again, sort_keys=True, indent=1)


def in_threads():
    result = [None] * 8

    def work(slot):
        rng = random.Random(slot)
        kept = []
        for _ in range(4000):
            kept.append(bytearray(rng.randrange(1, 3000)))
            if len(kept) > 300:
                kept.pop(rng.randrange(len(kept)))
        packed = zlib.compress(b"".join(kept) + bytes(range(256)) * 400)
        result[slot] = (len(packed), zlib.crc32(packed))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return result


def in_children():
    code = "import sys; print(sum(len(l) for l in sys.stdin))"
    return [subprocess.run([sys.executable, "-c", code], text=True,
                           input="line\n" * n, capture_output=True).stdout
            for n in (10, 1000, 100000)]


def over_text():
    with open(os.environ["INPUT"] + "/lines.txt") as file:
        text = file.read(1 << 20)
    return re.sub(r"(\w+) (\w+)", r"\2 \1", text), sorted(set(text.split()))


if any(os.environ.get(k) != v for k, v in FIXED.items()):
    os.environ.update(FIXED)
    os.execv(sys.executable, [sys.executable] + sys.argv)
for task in (sort_objects, hash_objects, through_json, in_threads,
             in_children, over_text):
    say(task.__name__, task())
big = bytearray(48 << 20)
big[::4097] = b"\1" * len(big[::4097])
say("large", zlib.adler32(big + big))
