/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * rerun: replays of recordings that are written here (tools/rerun*.c): what is
 * done in the pools, by whose caches, on which machine; and what comes of a
 * recording that makes no sense. What it says is read as JSON.
 */
#include "child.h"
#include "report.h"
#include "rerun.h"
#include "rng.h"
#include "tap.h"
#include "tool.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NPIECES 1000
#define BASE 0x7f1200000000u

const char tool_name[] = "rerun.t";

static char path[64], out_path[80];
static struct writer *writer;
static uint64_t now_ns;

/* --- a recording ----------------------------------------------------- */

static void tell(unsigned ring, struct event e)
{
	e.time_ns = now_ns += 1000;
	e.ring = (uint16_t)ring;
	if (e.kind != NP_TRACE_STACK)
		e.stack = RECORDING_NO_STACK;
	writer_round(writer, now_ns);
	writer_section(writer, ring);
	writer_event(writer, &e);
	writer_round_ends(writer);
}

static void node(unsigned home, unsigned ncpus)
{
	tell(0, (struct event){ .kind = NP_TRACE_NODE,
				.class = home & 0xff, .size = ncpus });
}

static void pool(unsigned slot)
{
	tell(0, (struct event){ .kind = NP_TRACE_POOL,
				.pool = slot & 0x3f, .class = 13, .first = 11,
				.size = NP_FINE });
}

/* A thread, on a CPU of the same number as its home. */
static void thread(unsigned ring, unsigned tid, unsigned home)
{
	tell(ring, (struct event){ .kind = NP_TRACE_THREAD, .size = tid });
	tell(ring, (struct event){ .kind = NP_TRACE_CPU, .size = home,
				   .home = (uint16_t)home });
}

static void call(unsigned ring, enum np_trace_kind kind, uint64_t number,
		 uint64_t size)
{
	tell(ring, (struct event){ .kind = (uint8_t)kind,
				   .addr = BASE + number * 65536,
				   .class = 1, .size = size });
}

static void begin(unsigned nodes)
{
	now_ns = 0;
	writer = writer_open(path);
	writer_info(writer, "cpus 6\noption 0 arenas\noption 1 decay_ms\n"
		    "option 2 classes\noption 3 max_order\noption 4 none\n");
	tell(0, (struct event){ .kind = NP_TRACE_START, .size = 1 });
	for (unsigned i = 0; i < nodes; i++)
		node(i, 2);
	pool(0);
}

/* --- its replay ------------------------------------------------------ */

static char said[1 << 16];
static struct catch errors;
static char complaints[CHILD_TEXT_MAX];

/* Replays it, and reads what that said. Returns the exit code. */
static int replay_with(const struct rerun_options *o)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), out, saved, code;
	ssize_t n;

	fflush(stdout);
	saved = dup(STDOUT_FILENO);
	out = open(out_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	dup2(out, STDOUT_FILENO);
	errors = catch_begin();
	code = (o->suggest ? rerun_suggest : rerun)(fd, "here", o);
	catch_end(&errors, complaints);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	n = pread(out, said, sizeof said - 1, 0);
	said[n > 0 ? n : 0] = '\0';
	close(saved);
	close(out);
	close(fd);
	return code;
}

static int replay(const struct rerun_options *o)
{
	if (writer)
		writer_close(writer, now_ns);
	writer = NULL;
	return replay_with(o);
}

/* The number behind "key": in the part that begins with "part":. */
static uint64_t figure(const char *part, const char *key)
{
	char name[64];
	const char *at;

	snprintf(name, sizeof name, "\"%s\":", part);
	at = strstr(said, name);
	snprintf(name, sizeof name, "\"%s\":", key);
	at = at ? strstr(at, name) : NULL;
	return at ? strtoull(at + strlen(name), NULL, 10) : UINT64_MAX;
}

static uint64_t replayed(const char *key)
{
	return figure("replayed", key);
}

static const struct rerun_options json = { .json = true };

/* --- one thread ------------------------------------------------------ */

static void test_calls(void)
{
	uint64_t rounding;

	begin(1);
	thread(1, 7, 0);
	for (unsigned i = 0; i < NPIECES; i++)
		call(1, NP_TRACE_ALLOC, i, 1100);
	for (unsigned i = 0; i < NPIECES; i += 2)
		call(1, NP_TRACE_FREE, i, 0);
	call(1, NP_TRACE_ALLOC, 5000, 20 * NP_MIB);
	call(1, NP_TRACE_MOVE, 1, 100000); /* it moves */
	call(1, NP_TRACE_ALLOC, 6000, 100000);
	call(1, NP_TRACE_FREE, 1, 0);
	call(1, NP_TRACE_MOVE, 3, 1110);
	call(1, NP_TRACE_RESIZE, 3, 1110);
	is_int(replay(&json), READ_OK, "a recording is replayed");
	ok(strstr(said, "\"modelled\":false"), "on the machine that it is of");
	is_uint(replayed("allocs"), NPIECES + 1, "all allocs");
	is_uint(replayed("frees"), NPIECES / 2, "and frees are done");
	is_uint(replayed("reallocs"), 2, "a realloc is one call, moved or not");
	is_uint(replayed("refused"), 0, "none is refused");
	ok(replayed("asked") > 20 * NP_MIB + 63 * (NPIECES / 2 * 1100) / 64 &&
	   replayed("asked") <= 20 * NP_MIB + NPIECES / 2 * 1100 + 101100,
	   "what was asked for adds up");
	is_uint(replayed("reserved"), 16 * NP_MIB + 2 * NP_SLOT_SIZE,
		"to a chunk and the slots of a huge block");
	is_uint(replayed("chunks_peak"), 1, "which is one chunk");
	is_uint(replayed("reserved") - replayed("asked"),
		figure("waste", "rounding") + figure("waste", "cached") +
		figure("waste", "elements") + figure("waste", "tails") +
		figure("waste", "pages"), "what was not asked for is told apart");
	is_uint(figure("left_out", "strangers") +
		figure("left_out", "replaced") +
		figure("left_out", "poolless") + figure("left_out", "over") +
		figure("left_out", "nonsense"), 0, "nothing is left out");
	is_str(complaints, "", "and nothing to complain about");
	rounding = figure("waste", "rounding");
	is_int(replay(&(struct rerun_options){ .quiet = true }), READ_OK,
	       "quietly");
	is_str(said, "", "it says nothing");
	is_int(replay(&(struct rerun_options){ .touch = true, .json = true }),
	       READ_OK, "pieces can be touched");
	is_int(replay(&(struct rerun_options){ .conf = "classes:netty",
					       .json = true }), READ_OK,
	       "another table of classes");
	ok(figure("waste", "rounding") > 5 * rounding, "rounds up further");
	is_int(replay(&(struct rerun_options){
		.conf = "cache_pieces:0,max_order:4", .json = true }), READ_OK,
	       "no caches, small chunks");
	ok(strstr(said, "\"hits\":0,"), "no cache is hit");
	ok(replayed("chunks_peak") > 2, "there are more of them");
}

/* --- options --------------------------------------------------------- */

static void option(unsigned number, uint64_t value)
{
	tell(0, (struct event){ .kind = NP_TRACE_OPTION,
				.class = number & 0xff, .size = value + 1 });
}

static void waste_and_wait(void)
{
	thread(1, 7, 0);
	for (unsigned i = 0; i < 40; i++)
		call(1, NP_TRACE_ALLOC, i, 10 * NP_MIB);
	for (unsigned i = 0; i < 40; i++)
		call(1, NP_TRACE_FREE, i, 0);
	for (unsigned i = 0; i < 4000; i++) {
		now_ns += 10000000;
		call(1, NP_TRACE_ALLOC, i, 5 * NP_MIB);
		call(1, NP_TRACE_FREE, i, 0);
	}
}

static void test_options(void)
{
	uint64_t decayed;

	begin(1);
	option(1, (uint64_t)-1);
	waste_and_wait();
	is_int(replay(&json), READ_OK, "with an option that is recorded");
	is_uint(replayed("decayed"), 0, "decay_ms:-1: nothing decays");
	is_int(replay(&(struct rerun_options){ .conf = "decay_ms:10000",
					       .json = true }), READ_OK,
	       "one that is chosen counts more");
	decayed = replayed("decayed");
	ok(decayed > 0, "in the recorded time, 40 s, there is decay");
	begin(1);
	waste_and_wait();
	replay(&json);
	is_uint(replayed("decayed"), decayed, "as with the preset");
	begin(1);
	now_ns = (uint64_t)100 * 24 * 3600 * 1000000000; /* in ms over 2^32 */
	waste_and_wait();
	replay(&json);
	is_uint(replayed("decayed"), decayed, "also after a hundred days");
	is_int(replay(&(struct rerun_options){ .conf = "decay_ms" }),
	       READ_DAMAGED, "an option that cannot be");
	ok(strstr(complaints, "npool_options(7)"), "is refused");
	is_int(replay(&(struct rerun_options){ .conf = "nodes:4" }),
	       READ_DAMAGED, "so is one of a process");
	ok(strstr(complaints, "see --nodes"), "with advice");
	is_int(replay(&(struct rerun_options){ .conf = "strict:1" }),
	       READ_FAILED, "and one that no machine here can promise");
}

/* --- machines -------------------------------------------------------- */

static bool read_nodes(const char *text, unsigned nodes, unsigned cpus)
{
	struct rerun_options o = { .nodes = 0 };

	return rerun_read_nodes(text, &o) && o.nodes == nodes &&
	       o.cpus == cpus;
}

static bool refuses(const char *text)
{
	struct rerun_options o = { .nodes = 0 };

	return !rerun_read_nodes(text, &o);
}

/* Ring 1 gets, ring 2 frees. */
static void hand_over(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		call(1, NP_TRACE_ALLOC, i, 1000);
		call(2, NP_TRACE_FREE, i, 0);
	}
}

static void test_machines(void)
{
	struct rerun_options o = { .nodes = 2, .json = true };

	ok(read_nodes("1", 1, 0) && read_nodes("64", 64, 0) &&
	   read_nodes("4x16", 4, 16), "nodes, and their CPUs");
	ok(refuses("") && refuses("0") && refuses("65") && refuses("2x") &&
	   refuses("2x0") && refuses("2x129") && refuses("2y") &&
	   refuses("-1") && refuses("2x3 "), "what is none is refused");

	begin(2);
	thread(1, 7, 0);
	thread(2, 8, 1);
	hand_over(640);
	is_int(replay(&json), READ_OK, "two nodes that are recorded");
	is_uint(replayed("sent"), 640, "what one frees of the other goes home");
	ok(strstr(said, "\"recorded_sent\":0,\"sent\":0},") &&
	   strstr(said, "\"recorded_sent\":0,\"sent\":640}]"),
	   "to the first, from the second");
	is_uint(replayed("rehomes"), 0, "nobody moves");
	is_int(replay(&o), READ_OK, "so many that are made up");
	ok(strstr(said, "\"modelled\":true"), "are called a model");
	is_uint(replayed("sent"), 640, "homes are as recorded");
	o.nodes = 1;
	replay(&o);
	is_uint(replayed("sent"), 0, "on one node all are at home");
	o.nodes = 4;
	o.map = "7=3,8=3";
	replay(&o);
	is_uint(replayed("sent"), 0, "so they are on one of four");
	o.map = "7=3,8=1,99=2";
	replay(&o);
	is_uint(replayed("sent"), 640, "and not on two of them");
	o.map = "7=4";
	is_int(replay(&o), READ_DAMAGED, "there is no node 4 of 4");
	o.map = "7=1,";
	is_int(replay(&o), READ_OK, "a comma at the end is nothing");
	o.map = "7=1 8=2";
	is_int(replay(&o), READ_DAMAGED, "a blank is no comma");
	o.nodes = 0;
	is_int(replay(&o), READ_DAMAGED, "whoever maps has nodes");

	begin(1);
	thread(1, 7, 0);
	thread(2, 8, 0);
	hand_over(640);
	is_int(replay(&(struct rerun_options){ .nodes = 2, .json = true }),
	       READ_OK, "of one node");
	is_uint(replayed("sent"), 640, "threads are dealt out to two");

	begin(2);
	thread(1, 7, 0);
	thread(2, 8, 1);
	hand_over(640);
	for (unsigned i = 0; i < 10; i++) {
		tell(1, (struct event){ .kind = NP_TRACE_CPU,
					.size = 1 - i % 2,
					.home = (uint16_t)(1 - i % 2) });
		call(1, NP_TRACE_ALLOC, 5000 + i, 1000);
	}
	replay(&json);
	is_uint(replayed("rehomes"), 10, "a thread follows its CPU");
}

/* --- threads and pools that end --------------------------------------- */

static void test_ends(void)
{
	uint64_t reserved;

	begin(1);
	thread(1, 7, 0);
	for (unsigned i = 0; i < 40; i++)
		call(1, NP_TRACE_ALLOC, i, 10 * NP_MIB);
	tell(1, (struct event){ .kind = NP_TRACE_RESET });
	for (unsigned i = 0; i < 40; i++)
		call(1, NP_TRACE_ALLOC, 100 + i, 10 * NP_MIB);
	is_int(replay(&json), READ_OK, "a pool that is reset");
	reserved = replayed("reserved_peak");
	is_uint(replayed("mapped"), replayed("chunks_peak"),
		"uses its chunks again");

	begin(1);
	for (unsigned i = 0; i < 10; i++) {
		if (i)
			pool(0);
		thread(1, 7 + i, 0);
		for (unsigned k = 0; k < 40; k++)
			call(1, NP_TRACE_ALLOC, 100 * i + k, 10 * NP_MIB);
		tell(1, (struct event){ .kind = NP_TRACE_RESET, .size = 1 });
		tell(1, (struct event){ .kind = NP_TRACE_THREAD });
	}
	is_int(replay(&json), READ_OK, "pools and threads that end");
	is_uint(replayed("reserved_peak"), reserved, "are gone");
	is_uint(replayed("mapped"), 10 * replayed("chunks_peak"),
		"with their chunks");
	is_uint(figure("file", "threads"), 10, "but are counted");

	begin(1);
	thread(1, 7, 0);
	for (unsigned i = 0; i < 40; i++)
		call(1, NP_TRACE_ALLOC, i, 10 * NP_MIB);
	tell(0, (struct event){ .kind = NP_TRACE_START, .size = 1 });
	node(0, 2);
	pool(0);
	thread(1, 7, 0);
	for (unsigned i = 0; i < 40; i++)
		call(1, NP_TRACE_ALLOC, i, 10 * NP_MIB);
	is_int(replay(&json), READ_OK, "a program that becomes another");
	is_uint(replayed("reserved_peak"), reserved, "begins anew");
	is_uint(figure("left_out", "replaced"), 0, "with no piece alive");
}

/* --- nonsense -------------------------------------------------------- */

static void test_nonsense(void)
{
	begin(1);
	thread(1, 7, 0);
	call(1, NP_TRACE_FREE, 1, 0);
	call(1, NP_TRACE_ALLOC, 2, 100);
	call(1, NP_TRACE_ALLOC, 2, 200);
	call(1, NP_TRACE_ALLOC, 2, 300);
	call(1, NP_TRACE_FREE, 2, 0);
	call(1, NP_TRACE_FREE, 2, 0);
	call(1, NP_TRACE_RESIZE, 9, 10);
	call(1, NP_TRACE_MOVE, 9, 10);
	call(1, NP_TRACE_ALLOC, 10, 10);
	tell(1, (struct event){ .kind = NP_TRACE_ALLOC, .pool = 3,
				.addr = BASE, .size = 10 });
	call(1, NP_TRACE_ALLOC, 11, (uint64_t)2 << 40);
	call(1, NP_TRACE_ALLOC, 12, UINT64_MAX);
	call(1, NP_TRACE_MOVE, 10, (uint64_t)2 << 40);
	call(1, NP_TRACE_RESIZE, 10, (uint64_t)2 << 40);
	option(0, 65);
	option(3, UINT64_MAX - 1);
	option(4, 1);
	option(99, 1);
	tell(0, (struct event){ .kind = NP_TRACE_POOL, .pool = 5,
				.class = 200, .first = 31, .size = 7 });
	tell(0, (struct event){ .kind = NP_TRACE_RESET, .pool = 9 });
	call(1, NP_TRACE_ALLOC, 20, 100);
	pool(0);
	call(1, NP_TRACE_FREE, 20, 0);
	call(1, NP_TRACE_ALLOC, 21, 100);
	tell(1, (struct event){ .kind = NP_TRACE_MOVE, .pool = 3,
				.addr = BASE + 21 * 65536, .size = 1000 });
	tell(1, (struct event){ .kind = NP_TRACE_RESIZE, .pool = 3,
				.addr = BASE + 21 * 65536, .size = 1000 });
	is_int(replay(&json), READ_OK, "what makes no sense is no error");
	is_uint(figure("left_out", "strangers"), 3, "frees of what is no piece");
	is_uint(figure("left_out", "replaced"), 2,
		"allocs where a piece lives");
	is_uint(figure("left_out", "poolless"), 1, "pools that did not begin");
	is_uint(figure("left_out", "over"), 3, "more than there is");
	is_uint(figure("left_out", "nonsense"), 4,
		"and what no pool can be are counted");
	is_uint(replayed("asked"), 1010,
		"what died unseen is freed when it is seen");
}

/* An option that does not fit the others leaves them as they are. */
static void test_geometry(void)
{
	begin(1);
	tell(0, (struct event){ .kind = NP_TRACE_POOL, .pool = 1,
				.class = 20, .first = 4, .size = NP_FINE });
	tell(0, (struct event){ .kind = NP_TRACE_OPTION, .pool = 1,
				.class = 3, .size = 14 + 1 });
	thread(1, 7, 0);
	tell(1, (struct event){ .kind = NP_TRACE_ALLOC, .pool = 1,
				.addr = BASE, .class = 1, .size = 1000 });
	is_int(replay(&json), READ_OK, "an option that does not fit a pool");
	is_uint(figure("left_out", "nonsense"), 1, "is left out");
	is_uint(replayed("chunks_peak"), 1, "the pool has chunks");
	is_uint(replayed("refused"), 0, "and serves");
}

static const char *reserved_with(const char *conf)
{
	static char text[32];
	struct rerun_options o = { .conf = conf, .json = true };

	if (replay(&o) != READ_OK)
		return complaints;
	snprintf(text, sizeof text, "%" PRIu64 " MiB",
		 replayed("reserved_peak") >> 20);
	return text;
}

/* What is chosen is held against what was recorded. */
static void test_chosen_geometry(void)
{
	struct rerun_options o = { .conf = "max_order:14" };

	begin(1);
	tell(0, (struct event){ .kind = NP_TRACE_POOL, .pool = 1,
				.class = 17, .first = 5, .size = NP_FINE });
	thread(1, 7, 0);
	tell(1, (struct event){ .kind = NP_TRACE_ALLOC, .pool = 1,
				.addr = BASE, .class = 1, .size = NP_MIB });
	is_int(replay(&o), READ_DAMAGED, "chunks of 2 GiB cannot be chosen");
	ok(strstr(complaints, "over 1 GiB; what is not"), "which is said");
	is_str(said, "", "nothing else is");
	is_str(reserved_with("page_size:1M"), "32 MiB",
	       "pages of 1 MiB can, with 32 in a chunk, as recorded");
	is_str(reserved_with("max_order:14,page_size:4K"), "64 MiB",
	       "and order 14 with small pages");
	o.conf = "page_size:1M,max_order:11";
	is_int(replay(&o), READ_DAMAGED, "but not both halves too large");
	o = (struct rerun_options){ .suggest = true, .conf = "page_size:1M" };
	is_int(replay(&o), READ_OK, "what does not fit is not suggested");
	is_str(complaints, "", "and not told of");
}

/* Small pieces of the last class, as if they were to be aligned. */
static void test_aligned(void)
{
	static struct np_classes t;

	np_classes_init(&t, NP_FINE, 20, 10);
	begin(1);
	tell(0, (struct event){ .kind = NP_TRACE_POOL, .pool = 1,
				.class = 20, .first = 10, .size = NP_FINE });
	thread(1, 7, 0);
	for (unsigned i = 0; i < 1200; i++)
		tell(1, (struct event){ .kind = NP_TRACE_ALLOC, .pool = 1,
					.class = t.n & 0xff, .size = 1,
					.addr = BASE + i * (uint64_t)(1 << 30) });
	is_int(replay(&json), READ_OK, "pieces much larger than was asked for");
	is_uint(replayed("allocs"), RERUN_MOST >> 30,
		"are replayed up to a bound");
	is_uint(figure("left_out", "over"), 1200 - (RERUN_MOST >> 30),
		"of what they take");
}

/* A resize in one pool, what came of it lost, a piece of another pool; and the
 * first pool ends. */
static void test_lost(void)
{
	begin(1);
	pool(3);
	thread(1, 7, 0);
	call(1, NP_TRACE_ALLOC, 1, 100000);
	call(1, NP_TRACE_MOVE, 1, 100100);
	tell(1, (struct event){ .kind = NP_TRACE_LOST, .size = 1 });
	tell(1, (struct event){ .kind = NP_TRACE_ALLOC, .pool = 3, .class = 1,
				.addr = BASE, .size = 100100 });
	tell(1, (struct event){ .kind = NP_TRACE_RESET, .size = 1 });
	tell(1, (struct event){ .kind = NP_TRACE_FREE, .pool = 3,
				.addr = BASE });
	is_int(replay(&json), READ_OK, "where events are lost between pools");
	is_uint(replayed("allocs"), 2, "no piece moves from one to another");
	is_uint(replayed("frees"), 1, "and the second pool has its own");
}

/* The only piece is left out, and then resized: it has no slot, there are
 * none. */
static void test_no_slot(void)
{
	begin(1);
	thread(1, 7, 0);
	call(1, NP_TRACE_ALLOC, 1, RERUN_MOST + 1);
	call(1, NP_TRACE_MOVE, 1, 10);
	call(1, NP_TRACE_RESIZE, 1, 10);
	is_int(replay(&json), READ_OK, "a piece without a slot can be resized");
	is_uint(replayed("reallocs"), 0, "which is left out too");
}

/* Any events of any rings, pools, sizes. */
static void test_anything(void)
{
	struct rng rng = rng_seed(5);
	unsigned good = 0;

	for (unsigned i = 0; i < 50; i++) {
		begin((unsigned)rng_below(&rng, 5));
		for (unsigned k = 0; k < 300; k++) {
			struct event e = {
				.kind = (uint8_t)rng_below(&rng,
							   NP_TRACE_KINDS),
				.addr = BASE + 16 * rng_below(&rng, 8),
				.class = rng_below(&rng, 16) & 0xff,
				.first = rng_below(&rng, 4) & 0x1f,
				.pool = rng_below(&rng, 3) & 0x3f,
				.home = rng_below(&rng, 6) & 7,
				.size = rng_log(&rng, 1 << 22),
			};

			if (event_kinds[e.kind].layout == LAYOUT_NONE ||
			    e.kind == NP_TRACE_STACK)
				e.kind = NP_TRACE_ALLOC;
			tell((unsigned)rng_below(&rng, 4), e);
		}
		good += replay(&json) == READ_OK;
	}
	is_uint(good, 50, "any events can be replayed");
}

/* --- what is better --------------------------------------------------- */

/* Pieces that powers of two hold badly, and as many at a time as it takes. */
static void fill(uint64_t table)
{
	begin(1);
	option(2, table);
	thread(1, 7, 0);
	for (unsigned i = 0; i < 20000; i++)
		call(1, NP_TRACE_ALLOC, i, 4200);
	for (unsigned i = 0; i < 20000; i++)
		call(1, NP_TRACE_FREE, i, 0);
}

/* Times are the test's here, not the machine's: of the replays with other
 * options than the recorded ones so many are disturbed. */
static unsigned ndisturbed;

int __real_outcome_get(struct outcome *out, int fd, const char *name,
		       const struct rerun_options *o);
int __wrap_outcome_get(struct outcome *out, int fd, const char *name,
		       const struct rerun_options *o);

int __wrap_outcome_get(struct outcome *out, int fd, const char *name,
		       const struct rerun_options *o)
{
	int code = __real_outcome_get(out, fd, name, o);

	out->run_ns = 1000000;
	if (o->is_trial && ndisturbed) {
		ndisturbed--;
		out->run_ns *= 2;
	}
	return code;
}

static void test_disturbed(void)
{
	struct rerun_options o = { .suggest = true };

	ndisturbed = 1 + 3 + 3; /* one that looks at memory, then two hearings */
	is_int(replay(&o), READ_OK, "where others disturb it");
	ok(strstr(said, "\nclasses:fine"), "what is better is found as well");
	ndisturbed = 1000;
	is_int(replay(&o), READ_OK, "where better options are always slow");
	ok(strstr(said, "nothing that was tried"), "nothing is suggested");
	ndisturbed = 0;
}

static void test_suggest(void)
{
	struct rerun_options o = { .suggest = true };
	struct rerun_options fixed = { .suggest = true,
				       .conf = "classes:fine" };

	fill(NP_NETTY);
	is_int(replay(&o), READ_OK, "better options are looked for");
	ok(strstr(said, "\nclasses:fine"), "and found");
	ok(strstr(said, "confirmed by 6 replays"), "and confirmed");
	test_disturbed();
	if (!is_int(replay(&fixed), READ_OK, "from others on"))
		diag("%s", complaints);
	ok(!strstr(said, "\nclasses:"), "they are no gain");
	begin(1);
	is_int(replay(&o), READ_FAILED, "of nothing, nothing is better");
	ok(strstr(complaints, "nothing to replay"), "which is said");
}

/* --- the same again --------------------------------------------------- */

static void test_same(void)
{
	static char first[sizeof said];
	struct rng rng = rng_seed(9);
	char *speed;

	begin(2);
	for (unsigned ring = 1; ring < 5; ring++)
		thread(ring, ring, ring % 2);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned ring = 1 + (unsigned)rng_below(&rng, 4);
		uint64_t n = rng_below(&rng, 3000);

		call(ring, rng_chance(&rng, 50) ? NP_TRACE_ALLOC
						: NP_TRACE_FREE,
		     n, rng_log(&rng, 1 << 20));
	}
	replay(&json);
	speed = strstr(said, "\"ns_a_call\"");
	strcpy(first, said);
	first[speed ? speed - said : 0] = '\0';
	replay(&json);
	speed = strstr(said, "\"ns_a_call\"");
	if (speed)
		*speed = '\0';
	is_str(said, first, "a replay comes out the same each time");
}

int main(void)
{
	plan(20 + 11 + 19 + 9 + 7 + 4 + 8 + 3 + 3 + 2 + 1 +
	     11 + 1);
	snprintf(path, sizeof path, "/dev/shm/npool-rerun.%d", (int)getpid());
	snprintf(out_path, sizeof out_path, "%s.out", path);
	test_calls();
	test_options();
	test_machines();
	test_ends();
	test_nonsense();
	test_geometry();
	test_chosen_geometry();
	test_aligned();
	test_lost();
	test_no_slot();
	test_anything();
	test_suggest();
	test_same();
	unlink(path);
	unlink(out_path);
	return done();
}
