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

static const char usage_text[] =
	"usage: npool-stat [-j] [-o FILE]\n"
	"       npool-stat [-jmv] [-o FILE] PID|NAME\n"
	"       npool-stat [-j] [-o FILE] PID|NAME INTERVAL [COUNT]\n"
	"       npool-stat [-jmv] [--children] [-o FILE] [-L FACE] -- COMMAND "
		"[ARG ...]\n"
	"       npool-stat [-jmv] [--children] [-o FILE] --read DIR\n"
	"       npool-stat --config | --help | --version\n";

static const char help_text[] =
	"\n"
	"Lists the processes that use npool; prints what one of them, or\n"
	"all of a name, have in their pools; prints a line of rates each\n"
	"INTERVAL, in seconds. Or runs COMMAND on libnpool's malloc face and\n"
	"tells on standard error where its memory came from; signals and the\n"
	"exit code pass through.\n"
	"\n"
	"  -j, --json         print JSON instead of the table\n"
	"  -m, --map          draw the pages of the fullest chunk\n"
	"  -v, --verbose      all classes, arenas and processes; with -m all\n"
	"                     chunks\n"
	"      --children     a line for each process\n"
	"  -o, --output FILE  print into FILE\n"
	"  -L, --face FACE    the libnpool-malloc.so to preload\n"
	"      --read DIR     run nothing; print what the segments in DIR say\n"
	"      --config       print the options that NPOOL_CONF sets\n"
	"\n"
	"Exit code: COMMAND's, or 128 + the signal that ended it; 1\n"
	"something could not be read, 2 bad usage, 125 npool-stat itself\n"
	"failed, 126 COMMAND cannot be run, 127 there is no COMMAND.\n"
	"npool-stat(1) has the rest.\n";

enum { OPT_READ = 256, OPT_CHILDREN, OPT_CONFIG, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "map", no_argument, NULL, 'm' },
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

/* Does what the option says, or notes it. Those that print and end the tool
 * come back here, with an exit code in *code. */
static bool take_option(struct options *o, int option, int *code)
{
	switch (option) {
	case 'j': o->json = true; return true;
	case 'm': o->map = true; return true;
	case 'v': o->verbose = true; return true;
	case 'o': o->output = optarg; return true;
	case 'L': o->face = optarg; return true;
	case OPT_READ: o->read_dir = optarg; return true;
	case OPT_CHILDREN: o->children = true; return true;
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
	if ((o->map || o->verbose) && !o->command && !o->read_dir &&
	    (!o->target || o->interval_ms))
		usage("-m and -v are for one look: name a process, and no "
		      "interval");
	if (o->children && !o->command && !o->read_dir && !o->target)
		usage("--children of which process?");
	if (o->json && !json_is_there())
		give_up(EXIT_USAGE, "built without JSON: configure found no "
			"jansson, or was told to do without");
}

/* Ends the tool where the options say so, or make no sense. */
static void parse_options(struct options *o, int argc, char **argv)
{
	int option, code;

	/* +: what follows the command's name is the command's. */
	while ((option = getopt_long(argc, argv, "+jmvo:L:", long_options,
				     NULL)) != -1)
		if (!take_option(o, option, &code))
			exit(code);
	/* It may also be what an option was given. */
	if (optind > 1 && !strcmp(argv[optind - 1], "--") &&
	    argv[optind - 1] != o->output && argv[optind - 1] != o->face &&
	    argv[optind - 1] != o->read_dir)
		o->command = argv + optind;
	else
		take_operands(o, argc - optind, argv + optind);
	check_options(o);
}

/* --- output ----------------------------------------------------------- */

/* Before the command runs: what it did would be lost. Standard error has no
 * buffer, and other processes write to it: the table goes there in one. */
static FILE *open_output(const struct options *o)
{
	int fd;
	FILE *out;

	if (o->output)
		fd = open(o->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
			  O_NOCTTY, 0666);
	else
		fd = fcntl(o->command ? STDERR_FILENO : STDOUT_FILENO,
			   F_DUPFD_CLOEXEC, 3);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out)
		give_up(EXIT_SELF, "%s: %s",
			o->output ? o->output : "no place for the output",
			strerror(errno));
	return out;
}

/* status: what the printing said. Returns whether all was written. */
static bool close_output(FILE *out, int status)
{
	if (ferror(out) || status != 0 || fclose(out) != 0) {
		complain("the output could not be written: %s",
			 strerror(errno));
		return false;
	}
	return true;
}

static bool print_report(FILE *out, const struct report *report)
{
	if (report->options->json)
		return close_output(out, json_print(out, report));
	table_print(out, report);
	return close_output(out, 0);
}

/* --- what it does ------------------------------------------------------ */

static int list_processes(const struct options *o, FILE *out)
{
	struct listed *list;
	size_t n = list_read(&list, o);
	int status = 0;

	targets_clean();
	if (o->json)
		status = json_print_list(out, list, n);
	else if (n)
		list_print(out, list, n);
	else
		complain("no process%s uses npool",
			 geteuid() ? " of this user" : "");
	list_free(list, n);
	return close_output(out, status) ? EXIT_SUCCESS : EXIT_SELF;
}

static int look_at_processes(const struct options *o, FILE *out)
{
	struct report report = { .options = o };
	struct samples samples = { 0 };
	int code = EXIT_SUCCESS;
	char why[200];

	if (!report_named(&report, o->target, &samples, why, sizeof why))
		give_up(EXIT_SKIPPED, "process %s: %s", o->target, why);
	if (report.nskipped)
		code = EXIT_SKIPPED;
	if (!print_report(out, &report))
		code = EXIT_SELF;
	report_free(&report);
	samples_free(&samples);
	return code;
}

static int watch_processes(const struct options *o, FILE *out)
{
	int code = rates_watch(out, o);

	return close_output(out, 0) ? code : EXIT_SELF;
}

static int read_segments(const struct options *o, FILE *out)
{
	struct report report = { .options = o };
	struct samples samples = { 0 };
	int dir = open(o->read_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int code = EXIT_SUCCESS;

	if (dir < 0)
		give_up(EXIT_SELF, "%s: %s", o->read_dir, strerror(errno));
	report_read(&report, dir, &samples);
	close(dir);
	if (!report.nprocesses && !report.nskipped)
		give_up(EXIT_SELF, "%s: no segment (PID.N) is there",
			o->read_dir);
	if (report.nskipped)
		code = EXIT_SKIPPED;
	if (!print_report(out, &report))
		code = EXIT_SELF;
	report_free(&report);
	samples_free(&samples);
	return code;
}

static int stat_command(const struct options *o, FILE *out)
{
	struct run run = { 0 };
	struct report report = { .options = o, .run = &run };
	struct samples samples = { 0 };
	char *face = face_find(o->face);
	int code;

	run_prepare(&run);
	run_command(&run, o->command, face, &samples);
	report_read(&report, run.dir_fd, &samples);
	run_finish(&run);
	code = run_exit_code(&run);
	if (!print_report(out, &report) && !code)
		code = EXIT_SELF;
	report_free(&report);
	samples_free(&samples);
	free(face);
	return code;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	FILE *out;

	parse_options(&options, argc, argv);
	out = open_output(&options);
	if (options.command)
		return stat_command(&options, out);
	if (options.read_dir)
		return read_segments(&options, out);
	if (options.interval_ms)
		return watch_processes(&options, out);
	return options.target ? look_at_processes(&options, out)
			      : list_processes(&options, out);
}
