/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * The oracle: runs a text trace on the real Netty 4.1.48 and prints what its
 * pooled allocator decided, one line an operation.  `npool-trace replay
 * --netty` must print the same to the character; t/judge.t compares the two.
 *
 * It stands in Netty's own package, which opens the package-private fields of
 * PooledByteBuf and PoolChunk without reflection.
 *
 * The trace (from standard input; blanks between fields are spaces or tabs;
 * blank lines, and lines that begin with `#`, are skipped):
 *
 *	a ID SIZE [MAX]	directBuffer(SIZE, MAX); MAX is 2^31-1 if not given
 *	c ID NEWCAP	capacity(NEWCAP)
 *	f ID		release
 *	t		trimCurrentThreadCache()
 *	l		the six chunk lists, each front to back
 *	s		the arena's counters
 *
 * An ID is any word, alive from its `a` to its `f`, and free again after it.
 * Sizes are decimal, 0 to 2^31-1, and are printed without leading zeros.
 * MAX is not printed.  Chunks are numbered as they are first seen, huge ones
 * too, and a number is never used twice.
 *
 * Cases at the edge, all as seen on the jar:
 *
 *	a ID 0		a page cut into elements of no size; every zero-length
 *			buffer has this one page's handle, with slot 0, length
 *			0 and maxLength 0; it counts as tiny; a free gives
 *			nothing back, so the page is never free again
 *	a ID 0 0	Netty's constant empty buffer, which touches no arena
 *			and no counter (and does not make a cache, see `t`):
 *			prints `a ID 0 -> empty`.  It can be freed, `f ID`,
 *			but not resized, not even to 0: an error
 *	c ID 0		the old memory is freed and a zero-length element
 *			taken; back from 0 the other way round
 *	c ID SAME	prints the old placement; nothing happens
 *	t		false before the first `a` that is not `a ID 0 0`,
 *			true from then on, with or without caches
 *
 * Errors end the run at the first bad line: what went before it is printed,
 * then `Oracle: line N: what` goes to standard error.  Exit codes:
 *
 *	0	the whole trace was run
 *	1	out of memory (raise io.netty.maxDirectMemory), I/O error,
 *		or a wrong version of Netty
 *	2	a malformed line; an unknown ID; an ID that is live already;
 *		SIZE > MAX; NEWCAP > the buffer's MAX; a bad setting
 *
 * Settings are system properties: page, order, tiny, small, normal (entries of
 * the thread cache's queues), align, arenas, allthreads; lists=true prints the
 * lists after every a, c and f; base=true adds the chunk's own offset, which
 * alignment makes.  With several arenas the one thread here is on the first.
 *
 * Needs only netty-buffer.jar and netty-common.jar.  t/judge/oracle compiles
 * and runs it.
 */
package io.netty.buffer;

import io.netty.util.Version;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.ReadOnlyBufferException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.StringTokenizer;

public final class Oracle {
	private static final String VERSION = "4.1.48.Final";
	private static final String[] LISTS =
		{ "qInit", "q000", "q025", "q050", "q075", "q100" };
	private static final int FLUSH_AT = 1 << 16;
	private static final int MAX_FIELDS = 4;
	private static final int MAX_DIGITS = 10;
	private static final int PRUNE_AT = 4096;

	/* The trace, or a setting, is wrong: exit 2. */
	private static final class BadTrace extends Exception {
		private static final long serialVersionUID = 1L;

		BadTrace(String what) {
			super(what);
		}
	}

	private final PooledByteBufAllocator allocator;
	private final Map<String, ByteBuf> live = new HashMap<>();
	private final BufferedReader in = new BufferedReader(
		new InputStreamReader(System.in, StandardCharsets.ISO_8859_1));
	private final OutputStream stdout =
		new FileOutputStream(FileDescriptor.out);
	private final StringBuilder out = new StringBuilder(2 * FLUSH_AT);
	private final boolean printBase = Boolean.getBoolean("base");
	private final boolean printLists = Boolean.getBoolean("lists");
	private int lineno;

	/*
	 * Chunk to ordinal.  Strong references: a dead chunk's identity must
	 * not come back with another one.  prune() drops those that cannot be
	 * seen again.
	 */
	private Map<PoolChunk<?>, Integer> ordinals = new IdentityHashMap<>();
	private int nextOrdinal;
	private int pruneAt = PRUNE_AT;

	private Oracle() {
		String threads = System.getProperty("allthreads", "true");

		allocator = new PooledByteBufAllocator(true, 0,
			Integer.getInteger("arenas", 1),
			Integer.getInteger("page", 8192),
			Integer.getInteger("order", 11),
			Integer.getInteger("tiny", 0),
			Integer.getInteger("small", 0),
			Integer.getInteger("normal", 0),
			Boolean.parseBoolean(threads),
			Integer.getInteger("align", 0));
	}

	/* One buffer in 128 is wrapped unless leak detection is off. */
	private static PooledByteBuf<?> pooled(ByteBuf b) {
		while (!(b instanceof PooledByteBuf))
			b = b.unwrap();
		return (PooledByteBuf<?>) b;
	}

	private PoolArenaMetric arena() {
		return allocator.metric().directArenas().get(0);
	}

	private int ordinal(PoolChunk<?> chunk) {
		Integer n = ordinals.get(chunk);

		if (n == null) {
			if (ordinals.size() >= pruneAt)
				prune();
			n = nextOrdinal++;
			ordinals.put(chunk, n);
		}
		return n;
	}

	/* Keep the chunks that a list or a live buffer still holds. */
	private void prune() {
		Map<PoolChunk<?>, Integer> kept = new IdentityHashMap<>();

		for (PoolChunkListMetric list : arena().chunkLists())
			for (PoolChunkMetric m : list)
				keep(kept, (PoolChunk<?>) m);
		for (ByteBuf b : live.values())
			if (!(b instanceof EmptyByteBuf))
				keep(kept, pooled(b).chunk);
		ordinals = kept;
		pruneAt = 2 * kept.size() + PRUNE_AT;
	}

	private void keep(Map<PoolChunk<?>, Integer> kept, PoolChunk<?> c) {
		Integer n = ordinals.get(c);

		if (n != null)
			kept.put(c, n);
	}

	private void hex16(long v) {
		for (int shift = 60; shift >= 0; shift -= 4)
			out.append(Character.forDigit((int) (v >>> shift) & 15,
						      16));
	}

	private void printPlace(ByteBuf b) {
		if (b instanceof EmptyByteBuf) {
			out.append(" -> empty\n");
			return;
		}
		PooledByteBuf<?> p = pooled(b);
		PoolChunk<?> chunk = p.chunk;

		out.append(" -> chunk=").append(ordinal(chunk));
		out.append(chunk.unpooled ? "(huge) handle=0x" : " handle=0x");
		hex16(p.handle);
		out.append(" offset=").append(p.offset - chunk.offset);
		out.append(" length=").append(p.length);
		out.append(" maxLength=").append(p.maxLength);
		if (printBase)
			out.append(" base=").append(chunk.offset);
		out.append('\n');
	}

	private void printLists() {
		int i = 0;

		out.append('l');
		for (PoolChunkListMetric list : arena().chunkLists()) {
			out.append(' ').append(LISTS[i++]);
			char sep = '[';
			for (PoolChunkMetric m : list) {
				out.append(sep);
				out.append(ordinal((PoolChunk<?>) m));
				out.append(':').append(m.usage()).append("%:");
				out.append(m.freeBytes());
				sep = ' ';
			}
			out.append(sep == '[' ? "[]" : "]");
		}
		out.append('\n');
	}

	private void printCounters() {
		PoolArenaMetric m = arena();

		out.append("s alloc t/s/n/h=");
		out.append(m.numTinyAllocations()).append('/');
		out.append(m.numSmallAllocations()).append('/');
		out.append(m.numNormalAllocations()).append('/');
		out.append(m.numHugeAllocations());
		out.append(" dealloc t/s/n/h=");
		out.append(m.numTinyDeallocations()).append('/');
		out.append(m.numSmallDeallocations()).append('/');
		out.append(m.numNormalDeallocations()).append('/');
		out.append(m.numHugeDeallocations());
		out.append(" activeBytes=").append(m.numActiveBytes());
		out.append('\n');
	}

	private static int number(String s) throws BadTrace {
		for (int i = 0; i < s.length(); i++)
			if (s.charAt(i) < '0' || s.charAt(i) > '9')
				throw new BadTrace("not a number: " + s);
		String digits = s.replaceFirst("^0+(?=.)", "");
		if (digits.length() > MAX_DIGITS ||
		    Long.parseLong(digits) > Integer.MAX_VALUE)
			throw new BadTrace("over 2147483647: " + s);
		return Integer.parseInt(digits);
	}

	private ByteBuf find(String id) throws BadTrace {
		ByteBuf b = live.get(id);

		if (b == null)
			throw new BadTrace("unknown ID: " + id);
		return b;
	}

	private void allocate(String id, int size, int max) throws BadTrace {
		if (live.containsKey(id))
			throw new BadTrace("ID is live already: " + id);
		ByteBuf b = allocator.directBuffer(size, max);
		live.put(id, b);
		out.append("a ").append(id).append(' ').append(size);
		printPlace(b);
	}

	private void resize(String id, int size) throws BadTrace {
		ByteBuf b = find(id);

		b.capacity(size);
		out.append("c ").append(id).append(' ').append(size);
		printPlace(b);
	}

	private void release(String id) throws BadTrace {
		find(id).release();
		live.remove(id);
		out.append("f ").append(id).append('\n');
	}

	private void step(String[] f, int n) throws BadTrace {
		switch (f[0] + n) {
		case "a3":
			allocate(f[1], number(f[2]), Integer.MAX_VALUE);
			break;
		case "a4":
			allocate(f[1], number(f[2]), number(f[3]));
			break;
		case "c3":
			resize(f[1], number(f[2]));
			break;
		case "f2":
			release(f[1]);
			break;
		case "t1":
			boolean done = allocator.trimCurrentThreadCache();
			out.append("t ").append(done).append('\n');
			return;
		case "l1":
			printLists();
			return;
		case "s1":
			printCounters();
			return;
		default:
			throw new BadTrace("not an operation of the trace " +
					   "language, or a wrong number of " +
					   "fields");
		}
		if (printLists)
			printLists();
	}

	private void flush() throws IOException {
		stdout.write(out.toString().getBytes(
			StandardCharsets.ISO_8859_1));
		out.setLength(0);
	}

	private void run() throws BadTrace, IOException {
		String[] fields = new String[MAX_FIELDS];
		String line;

		while ((line = in.readLine()) != null) {
			lineno++;
			if (line.startsWith("#"))
				continue;
			StringTokenizer t = new StringTokenizer(line, " \t");
			int n = 0;
			while (t.hasMoreTokens() && n < MAX_FIELDS)
				fields[n++] = t.nextToken();
			if (t.hasMoreTokens())
				throw new BadTrace("too many fields");
			if (n == 0)
				continue;
			step(fields, n);
			if (out.length() >= FLUSH_AT)
				flush();
		}
	}

	private int fail(int code, String what) {
		System.err.println("Oracle: line " + lineno + ": " + what);
		return code;
	}

	/* Whatever ended the run, what was decided before it is printed. */
	private int runAndFlush() throws IOException {
		int code = 0;

		try {
			run();
		} catch (BadTrace | IllegalArgumentException e) {
			code = fail(2, e.getMessage());
		} catch (ReadOnlyBufferException e) {
			code = fail(2, "the empty buffer has no capacity");
		} catch (OutOfMemoryError e) {
			code = fail(1, e.getMessage());
		}
		flush();
		return code;
	}

	private static int judge() throws IOException {
		Version v = Version.identify().get("netty-buffer");

		if (v == null || !VERSION.equals(v.artifactVersion())) {
			System.err.println("Oracle: needs Netty " + VERSION +
					   ", found " + v);
			return 1;
		}
		try {
			return new Oracle().runAndFlush();
		} catch (IllegalArgumentException e) {
			System.err.println("Oracle: " + e.getMessage());
			return 2;
		}
	}

	public static void main(String[] args) throws IOException {
		System.exit(judge());
	}
}
