# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
"""From samples to figures: medians, ratios, the table and the chart.

The samples are one dictionary, which is also the JSON file:

    contestants  [{name, path, version}]; "null" is the harness's own cost,
                 "npool" the malloc face, "npool.h" the library itself,
                 "netty" Netty; all others are peers
    rows         [{name, kind, unit, clock, cpu, wall, rss}]; the last three
                 are {contestant: [one figure of each round]}, in ns a unit
                 (kind "program": seconds) and KiB
    ...          date, machine and what else describes the run

The k-th figures of a row were taken one after another, so that they can be
compared; medians of many such rounds are what is printed.
"""

import math
import statistics
from xml.sax.saxutils import escape

OURS, LIBRARY, NULL, NETTY, EMPTY = "npool", "npool.h", "null", "netty", "empty"
NOT_PEERS = {OURS, LIBRARY, NULL, NETTY, EMPTY}

# What the geometric mean is of.
SPEED_KINDS = ("pair", "batch", "mix", "handoff", "larson", "threads")
# Where the peak of memory is compared with the best peer's.
MEMORY_KINDS = ("memory", "larson")
LARGE_KINDS, LARGE = ("pair", "batch", "mix"), 512 << 10

MEMORY_SHARE, MEMORY_SLACK_KIB = 1.05, 1024

# ---- Arithmetic ----


def median(values):
    return statistics.median(values)


def spread(values):
    """The middle half's width, as a part of the median."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / median(values)


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def student95(degrees):
    """The one-sided 95 % quantile of Student's t, to 1 % from 4 degrees on
    (Abramowitz and Stegun 26.7.5)."""
    z = 1.6449
    return (z + (z**3 + z) / (4 * degrees)
            + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2))


def paired_ratio(ours, theirs):
    """(geometric mean of the rounds' ratios, its upper 95 % bound)."""
    logs = [math.log(a / b) for a, b in zip(ours, theirs)]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(mean), math.inf
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean + student95(len(logs) - 1) * error)


# ---- Rows ----


def size_of(row):
    """The smallest size in a row's name, "batch 64K random": 65536."""
    for word in row["name"].split()[1:]:
        word = word.split("..")[0]
        unit = {"K": 10, "M": 20, "G": 30}.get(word[-1:], 0)
        digits = word[:-1] if unit else word
        if digits.isdigit():
            return int(digits) << unit
    return 0


def samples(row, clock):
    chosen = row["clock"] if clock == "auto" else clock
    return row[chosen] or row["cpu"]


def best_peer(medians):
    peers = {c: v for c, v in medians.items() if c not in NOT_PEERS}
    return min(peers, key=peers.get) if peers else None


def digest(row, clock="auto"):
    """What the table says of a row."""
    taken = {c: v for c, v in samples(row, clock).items() if v}
    d = {"name": row["name"], "kind": row["kind"], "unit": row["unit"],
         "size": size_of(row),
         "median": {c: median(v) for c, v in taken.items()},
         "spread": {c: spread(v) for c, v in taken.items()},
         "rss": {c: median(v) for c, v in row["rss"].items() if v}}
    d["best"] = best = best_peer(d["median"])
    d["best_rss"] = best_peer(d["rss"])
    if best is None:
        return d
    least = d["median"][best]
    null = d["median"].get(NULL, 0)
    for who, key in ((OURS, "ratio"), (LIBRARY, "ratio_library")):
        if who in d["median"]:
            d[key] = d["median"][who] / least
            # Without the harness's own cost, where something is left.
            if least > null:
                d[key + "_net"] = (d["median"][who] - null) / (least - null)
    if row["kind"] == "program" and OURS in taken:
        d["to_best"] = paired_ratio(taken[OURS], taken[best])
        if "glibc" in taken:
            d["to_glibc"] = paired_ratio(taken[OURS], taken["glibc"])
    return d


def summary(digests):
    """The figures of the run as a whole, by what they are."""
    speed = [d for d in digests if d["kind"] in SPEED_KINDS and "ratio" in d]
    large = [d for d in speed
             if d["kind"] in LARGE_KINDS and d["size"] >= LARGE]
    library = [d["ratio_library"] for d in digests
               if d["kind"] in SPEED_KINDS and "ratio_library" in d]
    s = {"rows": len(speed)}
    if speed:
        s["geometric_mean"] = geometric_mean([d["ratio"] for d in speed])
        s["rows_ahead"] = sum(d["ratio"] <= 1 for d in speed)
    if library:
        s["geometric_mean_library"] = geometric_mean(library)
    if large:
        s["large_rows"] = len(large)
        s["large_rows_half"] = sum(d["ratio"] <= 0.5 for d in large)
    s["behind"] = sorted((d for d in speed if d["ratio"] > 1),
                         key=lambda d: -d["ratio"])
    return s


# ---- The table ----


def short(x):
    """Three digits or so: 4.1, 385, 27.1k, 1.9M."""
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if x >= limit:
            x /= 1e6 if unit == "M" else 1e3
            return f"{x:.1f}{unit}" if x < 100 else f"{x:.0f}{unit}"
    return f"{x:.1f}" if x < 100 else f"{x:.0f}"


def columns(doc):
    names = [c["name"] for c in doc["contestants"]]
    return [n for n in names if any(n in r["cpu"] for r in doc["rows"])]


def line(cells, last):
    return (f"{cells[0]:<22}" + "".join(f"{c:>9}" for c in cells[1:])
            + "  " + last).rstrip()


def speed_table(doc, digests):
    names = [n for n in columns(doc) if n != EMPTY]
    out = [line(["ns a pair"] + names, f"{'best peer':<10} ratio  net   "
                "spread: npool, best")]
    for d in digests:
        if d["kind"] in ("program", "memory"):
            continue
        unit = "" if d["unit"] == "pair" else f" ({d['unit']})"
        cells = [short(d["median"][n]) if n in d["median"] else "-"
                 for n in names]
        last = ""
        if "ratio" in d:
            net = d.get("ratio_net")
            best, width = d["best"], d["spread"]
            last = (f"{best:<10} {d['ratio']:5.2f} "
                    + (f"{net:5.2f}" if net is not None else "    -")
                    + f"   {width[OURS]:4.0%} {width[best]:4.0%}")
        out.append(line([d["name"] + unit] + cells, last))
    return out


def memory_goal(kib):
    return kib * MEMORY_SHARE + MEMORY_SLACK_KIB


def memory_table(doc, digests):
    names = [n for n in columns(doc) if n not in (NETTY, EMPTY)]
    out = [line(["peak MiB"] + names, "best peer  ratio")]
    for d in digests:
        if d["kind"] not in MEMORY_KINDS or OURS not in d["rss"]:
            continue
        cells = [f"{d['rss'][n] / 1024:.1f}" if n in d["rss"] else "-"
                 for n in names]
        ours, last = d["rss"][OURS], ""
        if d["best_rss"]:
            least = d["rss"][d["best_rss"]]
            last = (f"{d['best_rss']:<10} {ours / least:5.2f}"
                    + ("" if ours <= memory_goal(least)
                       else "  over its + 5 % + 1 MiB"))
        out.append(line([d["name"]] + cells, last))
    return out


def program_table(doc, digests):
    names = [n for n in columns(doc) if n not in (NULL, LIBRARY, NETTY)]
    out = [line(["CPU s, peak MiB"] + names,
                "to glibc (95 % <)  to the best peer (95 % <)")]
    for d in digests:
        if d["kind"] != "program":
            continue
        digits = 6 if d["unit"] == "start" else 3
        cells = [f"{d['median'][n]:.{digits}f}" if n in d["median"] else "-"
                 for n in names]
        last = ""
        if "to_glibc" in d and "to_best" in d:
            last = "{:.3f} ({:.3f})  {:.3f} ({:.3f}) {}".format(
                *d["to_glibc"], *d["to_best"], d["best"])
        out.append(line([d["name"]] + cells, last))
        over = ("glibc" in d["rss"] and OURS in d["rss"]
                and d["rss"][OURS] > memory_goal(d["rss"]["glibc"]))
        out.append(line(["  memory"] + [
            f"{d['rss'][n] / 1024:.1f}" if n in d["rss"] else "-"
            for n in names], "over glibc's + 5 % + 1 MiB" if over else ""))
    return out


def part(n, of):
    return f"{n} of {of} rows ({n / of:.0%})"


def netty_lines(digests):
    both = [d for d in digests if NETTY in d["median"] and OURS in d["median"]]
    if not both:
        return []
    least = min(both, key=lambda d: d["median"][NETTY] / d["median"][OURS])
    times = least["median"][NETTY] / least["median"][OURS]
    return [f"Netty: npool is at least {times:.1f} times as fast "
            f"({least['name']})"]


def start_lines(digests):
    out = []
    for d in digests:
        m = d["median"]
        if d["unit"] == "start" and OURS in m and EMPTY in m:
            out.append(f"start of {d['name']}: npool takes "
                       f"{(m[OURS] - m[EMPTY]) * 1e6:.0f} us and "
                       f"{d['rss'][OURS] - d['rss'][EMPTY]:.0f} KiB more than "
                       "an empty library that links libnuma")
    return out


def summary_lines(digests):
    s = summary(digests)
    if not s["rows"]:
        return netty_lines(digests) + start_lines(digests)
    out = [f"geometric mean of the ratios to the best peer: "
           f"{s['geometric_mean']:.3f} ({s['rows']} rows: "
           + ", ".join(SPEED_KINDS) + ")"]
    if "geometric_mean_library" in s:
        out.append("the same by npool.h: "
                   f"{s['geometric_mean_library']:.3f}")
    out.append("not behind the best peer: " + part(s["rows_ahead"], s["rows"]))
    if "large_rows" in s:
        out.append("at most half of its time, from 512 KiB on: "
                   + part(s["large_rows_half"], s["large_rows"]))
    out += netty_lines(digests) + start_lines(digests)
    if s["behind"]:
        out.append("behind: " + ", ".join(
            f"{d['name']} {d['ratio']:.2f} ({d['best']})"
            for d in s["behind"]))
    return out


def table(doc, clock="auto"):
    """All of it, as text."""
    digests = [digest(row, clock) for row in doc["rows"]]
    kinds = {d["kind"] for d in digests}
    m = doc["machine"]
    out = [f"{doc['date']}, {m['cpus']} CPUs {m['cpu']}, Linux {m['kernel']}, "
           f"load {m['load']}", f"{doc['rounds']} rounds of {doc['ms']} ms, "
           f"interleaved; medians; clock: {clock}; "
           + ", ".join(f"{c['name']} {c['version']}"
                       for c in doc["contestants"] if c.get("version")), ""]
    if kinds - {"program", "memory"}:
        out += speed_table(doc, digests) + [""]
    if kinds & set(MEMORY_KINDS):
        out += memory_table(doc, digests) + [""]
    if "program" in kinds:
        out += program_table(doc, digests) + [""]
    return "\n".join(out + summary_lines(digests)) + "\n"


# ---- Some runs side by side ----


def runs_line(name, best, cells, ratios, last=""):
    return (f"{name:<24}{best:<9}" + "".join(f"{c:>8}" for c in cells) + "  "
            + "".join(f" {r:5.2f}" for r in ratios) + last).rstrip()


def most_often(names):
    return max(sorted(set(names)), key=names.count)


def runs_section(runs, title, chosen, of, key, text):
    """Lines for rows that are chosen. of: what a row has by contestant; key:
    where it says who is the best peer."""
    out = []
    for same in zip(*runs):
        if not all(chosen(d) and d.get(key) and OURS in d[of] for d in same):
            continue
        best = most_often([d[key] for d in same])
        if not all(best in d[of] for d in same):
            continue
        cells = [text(median([d[of][n] for d in same]))
                 if all(n in d[of] for d in same) else "-"
                 for n in (best, OURS, LIBRARY)]
        ratios = [d[of][OURS] / d[of][best] for d in same]
        out.append(runs_line(same[0]["name"], best, cells, ratios))
    if out:
        out = [runs_line(title, "best peer", ("its", OURS, LIBRARY), (),
                         "  npool to it"), *out, ""]
    return out


def runs_table(docs, clock="auto"):
    """Runs that have the same rows: medians of their medians, and the ratio to
    the best peer (that of most runs) in each."""
    runs = [[digest(row, clock) for row in doc["rows"]] for doc in docs]
    m = docs[0]["machine"]
    out = [", ".join(doc["date"] for doc in docs),
           f"{m['cpus']} CPUs {m['cpu']}, Linux {m['kernel']}; "
           f"{docs[0]['rounds']} rounds of {docs[0]['ms']} ms",
           ", ".join(f"{c['name']} {c['version']}"
                     for c in docs[0]["contestants"] if c.get("version")), ""]
    out += runs_section(
        runs, "ns", lambda d: d["kind"] not in ("program", "memory"),
        "median", "best", short)
    out += runs_section(
        runs, "CPU ms", lambda d: d["kind"] == "program", "median", "best",
        lambda x: short(1e3 * x))
    out += runs_section(
        runs, "peak MiB", lambda d: d["kind"] in (*MEMORY_KINDS, "program"),
        "rss", "best_rss", lambda x: f"{x / 1024:.1f}")
    sums = [summary(r) for r in runs]
    if all(s["rows"] for s in sums):
        for key, what in (("geometric_mean", "geometric mean"),
                          ("geometric_mean_library", "  by npool.h")):
            if all(key in s for s in sums):
                out.append(runs_line(what, "", (), [s[key] for s in sums]))
        out.append(runs_line("rows not behind, of "
                             f"{sums[0]['rows']}", "", (), (), "".join(
                                 f" {s['rows_ahead']:5}" for s in sums)))
    return "\n".join(out) + "\n"


# ---- The chart ----

COLOURS = {"glibc": "#888888", "jemalloc": "#c44e52", "tcmalloc": "#dd8452",
           "mimalloc": "#8172b3", OURS: "#1f6fb4", LIBRARY: "#55a868"}
OTHER_COLOUR = "#bcbd22"
LEFT, PLOT, LINE, TOP = 170, 640, 15, 64
LOW, HIGH = 0.1, 100.0  # of the axis: times the best peer


def at(ratio):
    ratio = min(max(ratio, LOW), HIGH)
    return LEFT + PLOT * math.log(ratio / LOW) / math.log(HIGH / LOW)


def svg_text(x, y, text, how=""):
    return f'<text x="{x:.1f}" y="{y:.1f}"{how}>{escape(text)}</text>'


def svg_axis(height):
    out = []
    for ratio in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        x, colour = at(ratio), "#000000" if ratio == 1 else "#dddddd"
        out.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" '
                   f'y2="{height}" stroke="{colour}"/>')
        out.append(svg_text(x, TOP - 12, f"{ratio:g}",
                            ' text-anchor="middle"'))
    return out


def svg_row(d, y):
    out = [svg_text(LEFT - 8, y + 4, d["name"], ' text-anchor="end"')]
    least = d["median"][d["best"]]
    for name, value in d["median"].items():
        if name in (NULL, NETTY, EMPTY):
            continue
        colour = COLOURS.get(name, OTHER_COLOUR)
        radius = 5 if name == OURS else 3
        out.append(f'<circle cx="{at(value / least):.1f}" cy="{y}" '
                   f'r="{radius}" fill="{colour}"><title>'
                   f'{escape(name)} {value:.4g}</title></circle>')
    return out


def chart(doc, clock="auto"):
    """An SVG picture: a line for each row, a dot for each contestant, by its
    time over the best peer's; left of 1 is faster."""
    digests = [digest(row, clock) for row in doc["rows"]
               if row["kind"] != "memory"]
    digests = [d for d in digests if d["best"]]
    height = TOP + LINE * len(digests) + 8
    out = ['<?xml version="1.0" encoding="UTF-8"?>',
           '<svg xmlns="http://www.w3.org/2000/svg" '
           f'width="{LEFT + PLOT + 24}" height="{height}" '
           'font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="#ffffff"/>',
           svg_text(8, 16, "time over the best peer's, " + doc["date"])]
    x = LEFT
    for name in columns(doc):
        if name in (NULL, NETTY, EMPTY):
            continue
        colour = COLOURS.get(name, OTHER_COLOUR)
        out.append(f'<circle cx="{x}" cy="30" r="4" fill="{colour}"/>')
        out.append(svg_text(x + 8, 34, name))
        x += 90
    out += svg_axis(height - 8)
    for i, d in enumerate(digests):
        out += svg_row(d, TOP + LINE * i + 4)
    return "\n".join(out + ["</svg>"]) + "\n"
