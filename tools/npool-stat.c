/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool-stat: runs a command on the malloc face, and tells where its memory
 * came from. The options, and what is done in which order; the header stat.h
 * shows the parts.
 */
#include "stat.h"
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- options ---------------------------------------------------------- */

static const char usage_text[] =
	"usage: npool-stat [-jmv] [-o FILE] [-L FACE] [--] COMMAND [ARG ...]\n"
	"       npool-stat [-jmv] [-o FILE] --read DIR\n"
	"       npool-stat --config | --help | --version\n";

static const char help_text[] =
	"\n"
	"Runs COMMAND on libnpool's malloc face and tells on standard error\n"
	"where its memory came from. Signals and the exit code pass through.\n"
	"\n"
	"  -j, --json         print JSON instead of the table\n"
	"  -m, --map          draw the pages of the fullest chunk\n"
	"  -v, --verbose      all classes, arenas and processes; with -m all\n"
	"                     chunks\n"
	"  -o, --output FILE  print into FILE\n"
	"  -L, --face FACE    the libnpool-malloc.so to preload\n"
	"      --read DIR     run nothing; print what the segments in DIR say\n"
	"      --config       print the options that NPOOL_CONF sets\n"
	"\n"
	"Exit code: COMMAND's, or 128 + the signal that ended it; 2 bad\n"
	"usage, 125 npool-stat itself failed, 126 COMMAND cannot be run, 127\n"
	"there is no COMMAND. npool-stat(1) has the rest.\n";

enum { OPT_READ = 256, OPT_CONFIG, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "map", no_argument, NULL, 'm' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "output", required_argument, NULL, 'o' },
	{ "face", required_argument, NULL, 'L' },
	{ "read", required_argument, NULL, OPT_READ },
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

/* Ends the tool where the options say so, or make no sense. */
static void parse_options(struct options *o, int argc, char **argv)
{
	int option, code;

	/* +: what follows the command's name is the command's. */
	while ((option = getopt_long(argc, argv, "+jmvo:L:", long_options,
				     NULL)) != -1)
		if (!take_option(o, option, &code))
			exit(code);
	o->command = argv + optind;
	if (o->read_dir && *o->command)
		usage("--read runs no command");
	if (o->read_dir && o->face)
		usage("--read needs no face");
	if (!o->read_dir && !*o->command)
		usage("which command?");
	if (o->json && !json_is_there())
		give_up(EXIT_USAGE, "built without JSON: configure found no "
			"jansson, or was told to do without");
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
		fd = fcntl(o->read_dir ? STDOUT_FILENO : STDERR_FILENO,
			   F_DUPFD_CLOEXEC, 3);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (!out)
		give_up(EXIT_SELF, "%s: %s",
			o->output ? o->output : "no place for the output",
			strerror(errno));
	return out;
}

/* Returns whether all was written. */
static bool print_report(FILE *out, const struct report *report)
{
	int status = 0;

	if (report->options->json)
		status = json_print(out, report);
	else
		table_print(out, report);
	if (ferror(out) || status != 0 || fclose(out) != 0) {
		complain("the output could not be written: %s",
			 strerror(errno));
		return false;
	}
	return true;
}

/* --- the two things it does ------------------------------------------- */

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
	return options.read_dir ? read_segments(&options, out)
				: stat_command(&options, out);
}
