/*
 * SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * life-plugin.c - malloc in code that comes and goes by dlopen.
 *
 * Run by face-life.t with $PLUGIN naming the shared object of plugin.c.
 */
#include "life.h"
#include <pthread.h>

struct plugin {
	void *handle;
	char *(*text)(size_t n);
	void (*thread)(void);
};

static struct plugin load(void)
{
	struct plugin plugin;
	const char *path = getenv("PLUGIN");

	CHECK(path, "PLUGIN is not set");
	plugin.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	CHECK(plugin.handle, "%s", dlerror());
	*(void **)&plugin.text = dlsym(plugin.handle, "plugin_text");
	*(void **)&plugin.thread = dlsym(plugin.handle, "plugin_thread");
	CHECK(plugin.text && plugin.thread, "not the plugin: %s", path);
	return plugin;
}

static void outlives_plugin(void)
{
	enum { TIMES = 100 };
	char *text[TIMES];

	for (size_t i = 0; i < TIMES; i++) {
		struct plugin plugin = load();

		text[i] = plugin.text(1 + i * i * 3);
		plugin.thread();
		CHECK(dlclose(plugin.handle) == 0, "dlclose");
		CHECK(!dlopen(getenv("PLUGIN"), RTLD_NOW | RTLD_NOLOAD),
		      "the plugin stayed");
	}
	for (size_t i = 0; i < TIMES; i++) {
		size_t n = 1 + i * i * 3;

		CHECK(holds(text[i], n, n) == n, "text %zu changed", i);
		free(text[i]);
	}
}

static void *come_and_go(void *arg)
{
	for (size_t i = 0; i < 30; i++) {
		struct plugin plugin = load();
		char *text = plugin.text(1 + i * 100);

		exercise(100, i);
		plugin.thread();
		dlclose(plugin.handle);
		CHECK(holds(text, 1 + i * 100, 1 + i * 100) == 1 + i * 100,
		      "text %zu changed", i);
		free(text);
	}
	return arg;
}

static void loaded_by_threads(void)
{
	pthread_t thread[4];

	for (size_t i = 0; i < COUNT(thread); i++)
		CHECK(pthread_create(&thread[i], NULL, come_and_go, NULL) == 0,
		      "no thread");
	for (size_t i = 0; i < COUNT(thread); i++)
		CHECK(pthread_join(thread[i], NULL) == 0, "no join");
}

static const struct claim claims[] = {
	{ "what a plugin allocated outlives it", outlives_plugin },
	{ "plugins come and go in several threads", loaded_by_threads },
};

int main(int argc, char **argv)
{
	return life_main(argc, argv, claims, COUNT(claims));
}
