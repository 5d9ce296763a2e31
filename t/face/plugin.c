/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * plugin.c - a shared object that life-plugin loads and unloads.
 *
 * It allocates when it is loaded, when it is called, in a thread of its
 * own, and when it is unloaded; what it hands out outlives it.
 */
#include "life.h"
#include <pthread.h>

char *plugin_text(size_t n);
void plugin_thread(void);

static char *at_load;
static __thread char *local;

__attribute__((constructor)) static void loaded(void)
{
	at_load = take(5000);
	fill(at_load, 5000, 1);
}

__attribute__((destructor)) static void unloaded(void)
{
	CHECK(holds(at_load, 5000, 1) == 5000, "the plugin's bytes changed");
	free(at_load);
	exercise(100, 2);
}

char *plugin_text(size_t n)
{
	if (!local)
		local = take(100);
	fill(local, 100, 3);
	char *text = take(n);

	fill(text, n, n);
	free(local);
	local = NULL;
	return text;
}

static void *work(void *arg)
{
	exercise(300, 4);
	local = take(700);
	fill(local, 700, 5);
	free(local);
	return arg;
}

void plugin_thread(void)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, work, NULL) == 0 &&
		      pthread_join(thread, NULL) == 0,
	      "the plugin's thread");
}
