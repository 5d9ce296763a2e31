/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool-stat: looks into processes that use npool, or runs a command on the
 * malloc face and tells where its memory came from. The options, and what is
 * done in which order; the header stat.h shows the parts.
 */
#include "stat.h"
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_S (24 * 3600)

/* --- options ---------------------------------------------------------- */

const char tool_name[] = "npool-stat";

static const char usage_text[] =
	"usage: npool-stat [-j] [-o FILE]\n"
	"       npool-stat [-jv] [VIEW ...] [-o FILE] PID|NAME\n"
	"       npool-stat [-j] [-o FILE] PID|NAME INTERVAL [COUNT]\n"
	"       npool-stat --top [PID|NAME [INTERVAL]]\n"
	"       npool-stat --openmetrics [-o FILE] [PID|NAME]\n"
	"       npool-stat [-jv] [VIEW ...] [--children] [-o FILE] [-L FACE] "
		"-- COMMAND\n"
	"                  [ARG ...]\n"
	"       npool-stat [-jv] [VIEW ...] [--children] [-o FILE] --read DIR\n"
	"       npool-stat --config | --help | --version\n";

static const char help_text[] =
	"\n"
	"Lists the processes that use npool; prints what one of them, or\n"
	"all of a name, have in their pools; prints a line of rates each\n"
	"INTERVAL, in seconds. Or runs COMMAND on libnpool's malloc face and\n"
	"tells on standard error where its memory came from; signals and the\n"
	"exit code pass through.\n"
	"\n"
	"  -j, --json         print JSON instead of tables\n"
	"      --openmetrics  print the report for Prometheus\n"
	"  -v, --verbose      all classes, arenas and processes\n"
	"      --children     a line for each process\n"
	"  -o, --output FILE  print into FILE\n"
	"      --color WHEN   in colours: auto, always or never\n"
	"  -L, --face FACE    the libnpool-malloc.so to preload\n"
	"      --read DIR     run nothing; print what the segments in DIR say\n"
	"      --config       print the options that NPOOL_CONF sets\n"
	"\n"
	"Views; without one it is --report:\n"
	"      --report       the next three, and totals\n"
	"      --nodes        each node, and between nodes\n"
	"      --arenas       each arena\n"
	"      --classes      each size class\n"
	"      --threads      the cache of each thread\n"
	"      --lists        the chunk lists of each arena, and their chunks\n"
	"      --chunk N      chunk N, or that of address N: its tree, pages\n"
	"                     and how far each subpage is filled\n"
	"  -m, --map          the pages of all chunks\n"
	"      --verify       asks the kernel where all pages are\n"
	"\n"
	"      --top          shows the report on the screen, again and again\n"
	"      --svg FILE     draws the chunks, or chunk N, into FILE\n"
	"\n"
	"Exit code: COMMAND's, or 128 + the signal that ended it; 1\n"
	"something could not be read, 2 bad usage, 125 npool-stat itself\n"
	"failed, 126 COMMAND cannot be run, 127 there is no COMMAND.\n"
	"npool-stat(1) has the rest.\n";

enum { OPT_READ = 256, OPT_CHILDREN, OPT_CONFIG, OPT_HELP, OPT_VERSION,
       OPT_COLOR, OPT_CHUNK, OPT_SVG, OPT_METRICS, OPT_TOP,
       OPT_SHOW = 1024 /* + SHOW_ */ };

static const struct option long_options[] = {
	{ "report", no_argument, NULL, OPT_SHOW + SHOW_REPORT },
	{ "nodes", no_argument, NULL, OPT_SHOW + SHOW_NODES },
	{ "arenas", no_argument, NULL, OPT_SHOW + SHOW_ARENAS },
	{ "classes", no_argument, NULL, OPT_SHOW + SHOW_CLASSES },
	{ "threads", no_argument, NULL, OPT_SHOW + SHOW_THREADS },
	{ "lists", no_argument, NULL, OPT_SHOW + SHOW_LISTS },
	{ "chunk", required_argument, NULL, OPT_CHUNK },
	{ "map", no_argument, NULL, OPT_SHOW + SHOW_MAP },
	{ "verify", no_argument, NULL, OPT_SHOW + SHOW_VERIFY },
	{ "openmetrics", no_argument, NULL, OPT_METRICS },
	{ "top", no_argument, NULL, OPT_TOP },
	{ "svg", required_argument, NULL, OPT_SVG },
	{ "color", required_argument, NULL, OPT_COLOR },
	{ "json", no_argument, NULL, 'j' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "output", required_argument, NULL, 'o' },
	{ "face", required_argument, NULL, 'L' },
	{ "read", required_argument, NULL, OPT_READ },
	{ "children", no_argument, NULL, OPT_CHILDREN },
	{ "config", no_argument, NULL, OPT_CONFIG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static _Noreturn void usage(const char *what)
{
	if (what)
		complain("%s", what);
	fputs(usage_text, stderr);
	exit(EXIT_USAGE);
}

/* --- --config --------------------------------------------------------- */

static void print_option(const struct np_config *config,
			 const struct np_config *presets,
			 const struct np_option *o)
{
	char value[NP_CONFIG_PATH_MAX], preset[NP_CONFIG_PATH_MAX];
	char range[NP_CONFIG_PATH_MAX];

	np_config_show(config, o, value, sizeof value);
	np_config_show(presets, o, preset, sizeof preset);
	np_config_describe(o, range, sizeof range);
	printf("%s: %s\n\tpreset %s; %s\n\t%s\n", o->name,
	       *value ? value : "-", *preset ? preset : "-", range,
	       o->sentence);
}

static int print_config(void)
{
	struct np_config config, presets;
	unsigned bad;

	np_config_preset(&presets);
	np_config_preset(&config);
	bad = np_config_parse(&config, getenv(NP_CONFIG_ENV));
	for (size_t i = 0; i < np_noptions; i++)
		print_option(&config, &presets, &np_options[i]);
	if (fflush(stdout) != 0)
		give_up(EXIT_SELF, "standard output: %s", strerror(errno));
	return bad ? EXIT_SKIPPED : EXIT_SUCCESS;
}

/* --- more options ----------------------------------------------------- */

/* A chunk's number, or an address. */
static void take_chunk(struct options *o)
{
	char *end;

	errno = 0;
	o->chunk = strtoull(optarg, &end, 0);
	if (errno || *end || !isdigit((unsigned char)*optarg))
		usage("--chunk needs a number, as --lists shows them, or an "
		      "address (0x...)");
	o->show |= SHOW_CHUNK;
}

/* Is a terminal the place for colours? https://no-color.org has NO_COLOR. */
static bool wants_color(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fd) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

static enum color color_of(const char *when)
{
	static const char *const names[] = { "auto", "always", "never" };

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(when, names[i]))
			return (enum color)i;
	usage("--color is auto, always or never");
}

/* Does what the option says, or notes it. Those that print and end the tool
 * come back here, with an exit code in *code. */
static bool take_option(struct options *o, int option, int *code)
{
	if (option > OPT_SHOW)
		return o->show |= (unsigned)(option - OPT_SHOW), true;
	switch (option) {
	case 'j': o->json = true; return true;
	case 'm': o->show |= SHOW_MAP; return true;
	case 'v': o->verbose = true; return true;
	case 'o': o->output = optarg; return true;
	case 'L': o->face = optarg; return true;
	case OPT_READ: o->read_dir = optarg; return true;
	case OPT_CHILDREN: o->children = true; return true;
	case OPT_CHUNK: take_chunk(o); return true;
	case OPT_TOP: o->top = true; return true;
	case OPT_METRICS: o->metrics = true; return true;
	case OPT_SVG: o->svg_file = optarg; return true;
	case OPT_COLOR: o->color = color_of(optarg); return true;
	case OPT_CONFIG:
		*code = print_config();
		return false;
	case OPT_HELP:
		fputs(usage_text, stdout);
		fputs(help_text, stdout);
		break;
	case OPT_VERSION:
		puts("npool-stat (libnpool) " PACKAGE_VERSION);
		break;
	default:
		usage(NULL);
	}
	*code = fflush(stdout) ? EXIT_SELF : EXIT_SUCCESS;
	return false;
}

/* Seconds, with a part of one if need be, as ms. */
static uint64_t parse_interval(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.001 && seconds <= DAY_S))
		usage("INTERVAL is seconds, 0.001 to 86400; to run a command, "
		      "put -- before it");
	return (uint64_t)(seconds * 1000 + 0.5);
}

static uint64_t parse_count(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || !n)
		usage("COUNT is a number from 1");
	return n;
}

/* PID|NAME [INTERVAL [COUNT]] */
static void take_operands(struct options *o, int n, char **operand)
{
	if (n > 3)
		usage("too many operands; to run a command, put -- before it");
	if (n > 0)
		o->target = operand[0];
	if (n > 1)
		o->interval_ms = parse_interval(operand[1]);
	if (n > 2)
		o->count = parse_count(operand[2]);
}

static void check_options(const struct options *o)
{
	if (o->read_dir && (o->command || o->target))
		usage("--read goes without a command or process");
	if (o->face && !o->command)
		usage("a face is for a command, which stands behind --");
	if (o->command && !*o->command)
		usage("which command?");
	if ((o->show || o->svg_file || o->verbose) && !o->command &&
	    !o->read_dir && (!o->target || o->interval_ms))
		usage("views, --svg and -v are for one look: name a process, "
		      "and no interval");
	if (o->children && !o->command && !o->read_dir && !o->target)
		usage("--children of which process?");
	if (o->top && (o->json || o->metrics || o->show || o->svg_file ||
		       o->output || o->command || o->count))
		usage("--top takes a process and an interval, no more");
	if (o->top && !top_is_there())
		give_up(EXIT_USAGE, "built without --top: configure found no "
			"ncurses, or was told to do without");
	if (o->metrics && (o->json || o->show || o->interval_ms))
		usage("--openmetrics goes without -j, views and an interval");
	if (o->json && !json_is_there())
		give_up(EXIT_USAGE, "built without JSON: configure found no "
			"jansson, or was told to do without");
}

/* Ends the tool where the options say so, or make no sense. */
static void parse_options(struct options *o, int argc, char **argv)
{
	int option, code;

	/* Up to --, if there is one: what follows is the command's. */
	while ((option = getopt_long(argc, argv, "jmvo:L:", long_options,
				     NULL)) != -1)
		if (!take_option(o, option, &code))
			exit(code);
	/* It may also be what an option was given. */
	if (optind > 1 && !strcmp(argv[optind - 1], "--") &&
	    argv[optind - 1] != o->output && argv[optind - 1] != o->face &&
	    argv[optind - 1] != o->read_dir && argv[optind - 1] != o->svg_file)
		o->command = argv + optind;
	else
		take_operands(o, argc - optind, argv + optind);
	check_options(o);
	if (!o->show)
		o->show = SHOW_REPORT;
}

/* --- output ----------------------------------------------------------- */

/* Before the command runs: what it did would be lost. */
static FILE *open_file(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY,
		      0666);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out)
		give_up(EXIT_SELF, "%s: %s", name, strerror(errno));
	return out;
}

/* Standard error has no buffer, and other processes write to it: the table
 * goes there in one. */
static FILE *open_copy(int of)
{
	int fd = fcntl(of, F_DUPFD_CLOEXEC, 3);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out)
		give_up(EXIT_SELF, "no place for the output: %s",
			strerror(errno));
	return out;
}

static void open_output(struct options *o)
{
	if (o->output)
		o->out = open_file(o->output);
	else
		o->out = open_copy(o->command ? STDERR_FILENO : STDOUT_FILENO);
	if (o->svg_file)
		o->svg = open_file(o->svg_file);
	if (o->color == COLOR_AUTO)
		o->color = wants_color(fileno(o->out)) ? COLOR_ALWAYS
						       : COLOR_NEVER;
}

/* status: what the printing said. Returns whether all was written. */
static bool close_output(FILE *out, int status)
{
	if (!ferror(out) && status == 0 && fclose(out) == 0)
		return true;
	complain("the output could not be written: %s", strerror(errno));
	return false;
}

static bool print_report(const struct report *report)
{
	const struct options *o = report->options;
	int status = 0;
	bool good;

	if (o->metrics)
		metrics_print(o->out, report);
	else if (o->json)
		status = json_print(o->out, report);
	else
		table_print(o->out, report);
	good = close_output(o->out, status);
	if (!o->svg)
		return good;
	svg_print(o->svg, report);
	return close_output(o->svg, 0) && good;
}

/* --- what it does ------------------------------------------------------ */

static int list_processes(const struct options *o)
{
	struct listed *list;
	size_t n = list_read(&list, o);
	int status = 0;

	targets_clean();
	if (o->json)
		status = json_print_list(o->out, list, n);
	else if (n)
		list_print(o->out, list, n);
	else
		complain("no process%s uses npool",
			 geteuid() ? " of this user" : "");
	list_free(list, n);
	return close_output(o->out, status) ? EXIT_SUCCESS : EXIT_SELF;
}

/* Prints and frees them. Returns the exit code. */
static int finish_report(struct report *report, struct samples *samples)
{
	int code = report->nskipped ? EXIT_SKIPPED : EXIT_SUCCESS;

	if (!print_report(report))
		code = EXIT_SELF;
	report_free(report);
	samples_free(samples);
	return code;
}

static int look_at_processes(const struct options *o)
{
	struct report report = { .options = o };
	struct samples samples = { .all = o->show & SHOW_VERIFY };
	char why[200];

	if (!o->target)
		report_all(&report, &samples);
	else if (!report_named(&report, o->target, &samples, why, sizeof why))
		give_up(EXIT_SKIPPED, "process %s: %s", o->target, why);
	return finish_report(&report, &samples);
}

static int watch_processes(const struct options *o)
{
	int code = rates_watch(o->out, o);

	return close_output(o->out, 0) ? code : EXIT_SELF;
}

static int read_segments(const struct options *o)
{
	struct report report = { .options = o };
	struct samples samples = { .all = o->show & SHOW_VERIFY };
	int dir = open(o->read_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		give_up(EXIT_SELF, "%s: %s", o->read_dir, strerror(errno));
	report_read(&report, dir, &samples);
	close(dir);
	if (!report.nprocesses && !report.nskipped)
		give_up(EXIT_SELF, "%s: no segment (PID.N) is there",
			o->read_dir);
	return finish_report(&report, &samples);
}

static int stat_command(const struct options *o)
{
	struct run run = { 0 };
	struct report report = { .options = o, .run = &run };
	struct samples samples = { .all = o->show & SHOW_VERIFY };
	char *face = face_find(o->face);
	int code;

	run_prepare(&run);
	run_command(&run, o->command, face, &samples);
	report_read(&report, run.dir_fd, &samples);
	run_finish(&run);
	code = command_exit_code(&run.command);
	if (!print_report(&report) && !code)
		code = EXIT_SELF;
	report_free(&report);
	samples_free(&samples);
	free(face);
	return code;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };

	parse_options(&options, argc, argv);
	if (options.top)
		return top_run(&options);
	open_output(&options);
	if (options.command)
		return stat_command(&options);
	if (options.read_dir)
		return read_segments(&options);
	if (options.interval_ms)
		return watch_processes(&options);
	if (options.target || options.metrics)
		return look_at_processes(&options);
	return list_processes(&options);
}
