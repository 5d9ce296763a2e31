/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life-cxx.cc - malloc below C++: new, thread_local, exceptions, statics.
 *
 * Run by face-life.t.  The C++ library's operators call malloc,
 * aligned_alloc and free; destructors of thread_local objects run before
 * those of pthread keys, destructors of statics after main.
 */
#include "life.h"
#include <atomic>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace
{

std::atomic<int> ended;

/* Allocates when it is made, and again when it ends. */
struct Last {
	std::map<int, std::string> map;

	explicit Last(int n)
	{
		for (int i = 0; i < n; i++)
			map[i * 31 % n] = std::string(size_t(i), 'a');
	}

	~Last()
	{
		int n = int(map.size());
		std::vector<std::string> copy;

		for (auto &entry : map)
			copy.push_back(entry.second + "end");
		CHECK(int(copy.size()) == n, "%zu strings, not %d", copy.size(),
		      n);
		exercise(50, 1);
		ended++;
	}
};

thread_local std::unique_ptr<Last> first_local, second_local;

void use_locals(int n)
{
	first_local = std::make_unique<Last>(n % 50 + 1);
	second_local = std::make_unique<Last>(n % 90 + 1);
}

void thread_locals()
{
	int threads = 0;

	for (int round = 0; round < 25; round++) {
		std::vector<std::thread> all;

		for (int i = 0; i < 8; i++, threads++)
			all.emplace_back(use_locals, threads);
		for (auto &thread : all)
			thread.join();
	}
	CHECK(ended == 2 * threads, "%d destructors ran in %d threads",
	      ended.load(), threads);
}

template <size_t Alignment> struct alignas(Alignment) Aligned {
	unsigned char bytes[Alignment + 1];
};

template <size_t Alignment> void check_new()
{
	std::vector<std::unique_ptr<Aligned<Alignment>>> all;

	for (size_t i = 0; i < 40; i++) {
		all.push_back(std::make_unique<Aligned<Alignment>>());
		CHECK(uintptr_t(keep(all[i].get())) % Alignment == 0,
		      "new gave %p for alignment %zu",
		      static_cast<void *>(all[i].get()), Alignment);
		fill(all[i]->bytes, sizeof(all[i]->bytes), i);
	}
	for (size_t i = 0; i < all.size(); i++)
		CHECK(holds(all[i]->bytes, sizeof(all[i]->bytes), i) ==
			      sizeof(all[i]->bytes),
		      "objects overlap");
}

void aligned_new()
{
	check_new<1>();
	check_new<16>();
	check_new<32>();
	check_new<64>();
	check_new<256>();
	check_new<4096>();
	check_new<65536>();
}

void refused_new()
{
	bool refused = false;

	try {
		keep(::operator new(hide(SIZE_MAX / 2 + 1)));
	} catch (const std::bad_alloc &) {
		refused = true;
	}
	CHECK(refused, "new of half the address space was not refused");
	CHECK(!keep(::operator new(hide(SIZE_MAX / 2 + 1), std::nothrow)),
	      "nothrow new gave something");
}

void throw_deep(int depth)
{
	std::string local(size_t(depth * 7 + 1), 'x');

	if (depth == 0)
		throw std::runtime_error(std::string(1000, 'e'));
	throw_deep(depth - 1);
}

void exceptions()
{
	std::atomic<int> caught{ 0 };
	std::vector<std::thread> all;

	for (int i = 0; i < 4; i++)
		all.emplace_back([&caught] {
			for (int n = 0; n < 500; n++)
				try {
					throw_deep(n % 30);
				} catch (const std::runtime_error &error) {
					caught += strlen(error.what()) == 1000;
				}
		});
	for (auto &thread : all)
		thread.join();
	CHECK(caught == 2000, "%d of 2000 exceptions caught", caught.load());
}

bool say_end;

/* Made before main, ends after it, in the main thread's locals' company. */
struct Static {
	std::vector<std::string> words;

	Static()
	{
		for (size_t i = 0; i < 1000; i++)
			words.emplace_back(i, 's');
	}

	~Static()
	{
		Last last(60);

		for (size_t i = 0; i < words.size(); i++)
			CHECK(words[i] == std::string(i, 's'),
			      "word %zu changed", i);
		if (say_end)
			puts("static done");
	}
} made_before_main;

void statics()
{
	use_locals(77);
	made_before_main.words.emplace_back(1000, 's');
	say_end = true;
	exit(0);
}

const struct claim claims[] = {
	{ "thread_local destructors allocate", thread_locals },
	{ "new is aligned as the type asks", aligned_new },
	{ "new that is refused throws bad_alloc", refused_new },
	{ "exceptions are thrown and caught in threads", exceptions },
	{ "objects from before main end after it", statics },
};

} // namespace

int main(int argc, char **argv)
{
	return life_main(argc, argv, claims, COUNT(claims));
}
