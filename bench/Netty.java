// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the libnpool authors
//
// The rows pair and mix of the bench on Netty's PooledByteBufAllocator, direct
// buffers, in a JVM that has warmed up:
//
//	java Netty MS SIZES ROW...
//
// ROW is a name of `harness --rows` ("pair 4K", "mix 16..4K"). Prints for each
// "ROW<TAB>nanoseconds a pair". The work is that of pair() in single.c and of
// mix() in mix.c: a piece is allocated, its first byte written, and it is
// released. SIZES is the file for the row "mix websocket". Each row is run for
// WARM_NS before it counts, so that it is compiled.

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

public final class Netty {
	static final long WARM_NS = 600_000_000L;
	static final int LAP = 1000;
	static final int SIZES = 65536;
	static final int SLOTS = 10000;
	static final int LARGE_SLOTS = 500;	// from so many bytes a piece:
	static final int LARGE = 64 << 10;

	// preferDirect, arenas and all else as Netty has it by default.
	static final PooledByteBufAllocator pool = new PooledByteBufAllocator(true);

	interface Work {
		void lap();
	}

	static void pair(int size) {
		for (int i = 0; i < LAP; i++) {
			ByteBuf b = pool.directBuffer(size);
			b.setByte(0, 1);
			b.release();
		}
	}

	static final class Mix implements Work {
		final int[] sizes;
		final ByteBuf[] slots;
		int state = 0x9e3779b9;

		Mix(int[] sizes, int count) {
			this.sizes = sizes;
			slots = new ByteBuf[count];
		}

		int chance() {
			state ^= state << 13;
			state ^= state >>> 17;
			state ^= state << 5;
			return state;
		}

		int below(int n) {
			return (int)((chance() & 0xffffffffL) * n >>> 32);
		}

		public void lap() {
			for (int i = 0; i < LAP; i++) {
				int at = below(slots.length);
				if (slots[at] != null)
					slots[at].release();
				int size = sizes[chance() & (SIZES - 1)];
				slots[at] = pool.directBuffer(size);
				slots[at].setByte(0, 1);
			}
		}

		void empty() {
			for (int i = 0; i < slots.length; i++)
				if (slots[i] != null)
					slots[i].release();
		}
	}

	static int bytes(String text) {
		int last = text.length() - 1;
		int shift = switch (text.charAt(last)) {
		case 'K' -> 10;
		case 'M' -> 20;
		default -> 0;
		};
		String digits = shift == 0 ? text : text.substring(0, last);
		return Integer.parseInt(digits) << shift;
	}

	static int[] sizesLog(int low, int high) {
		SplittableRandom r = new SplittableRandom(1);
		int[] sizes = new int[SIZES];
		double from = Math.log(low), to = Math.log(high + 1.0);
		for (int i = 0; i < SIZES; i++)
			sizes[i] = (int)Math.exp(from + (to - from) * r.nextDouble());
		return sizes;
	}

	static int[] sizesFile(String path) throws Exception {
		SplittableRandom r = new SplittableRandom(1);
		List<int[]> lines = new ArrayList<>();
		int total = 0;
		for (String line : Files.readAllLines(Paths.get(path))) {
			if (line.isEmpty() || line.startsWith("#"))
				continue;
			String[] words = line.split("\t");
			total += Integer.parseInt(words[1]);
			lines.add(new int[] {
				Integer.parseInt(words[0]), total });
		}
		int[] sizes = new int[SIZES];
		for (int i = 0; i < SIZES; i++) {
			int drawn = r.nextInt(total), at = 0;
			while (lines.get(at)[1] <= drawn)
				at++;
			sizes[i] = lines.get(at)[0];
		}
		return sizes;
	}

	static Mix mix(String what, String path) throws Exception {
		if (what.equals("websocket"))
			return new Mix(sizesFile(path), SLOTS);
		String[] ends = what.split("\\.\\.");
		int low = bytes(ends[0]);
		return new Mix(sizesLog(low, bytes(ends[1])),
				low >= LARGE ? LARGE_SLOTS : SLOTS);
	}

	static final ThreadMXBean threads = ManagementFactory.getThreadMXBean();

	// By this thread's CPU time, as the harness does it.
	static double measure(Work work, long ns) {
		long laps = 0, start = threads.getCurrentThreadCpuTime(), now;
		do {
			work.lap();
			laps++;
			now = threads.getCurrentThreadCpuTime();
		} while (now - start < ns);
		return (double)(now - start) / laps / LAP;
	}

	public static void main(String[] args) throws Exception {
		long ns = (long)(Double.parseDouble(args[0]) * 1e6);
		for (int i = 2; i < args.length; i++) {
			String[] words = args[i].split(" ");
			Work work;
			if (words[0].equals("pair")) {
				int size = bytes(words[1]);
				work = () -> pair(size);
			} else {
				work = mix(words[1], args[1]);
			}
			measure(work, WARM_NS);
			System.out.printf("%s\t%.3f%n", args[i],
					measure(work, ns));
			if (work instanceof Mix m)
				m.empty();
		}
	}
}
