/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * npool-trace: options and subcommands; see npool-trace(1).
 */
#include "draw.h"
#include "explain.h"
#include "export.h"
#include "record.h"
#include "replay.h"
#include "report.h"
#include "rerun.h"
#include "tool.h"

#include "base.h"

#include <errno.h>
#include <fcntl.h> /* open */
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h> /* close */

#define PAGE_SHIFT_MIN 12
#define PAGE_SHIFT_MAX 20
#define ORDER_MAX 14
#define CHUNK_SHIFT_MAX 30 /* Netty: MAX_CHUNK_SIZE */
#define RING_MIN 65536
#define RING_MAX ((size_t)1 << 30)
#define ROWS_PRESET 20
#define RING_PRESET ((size_t)4 << 20)

const char tool_name[] = "npool-trace";

#define DEFAULTS .replay = { .page_shift = 13, .max_order = 11 }
#define COMMON_OPTIONS \
	{ "quiet", no_argument, NULL, 'q' }, \
	{ "page-size", required_argument, NULL, 'p' }, \
	{ "max-order", required_argument, NULL, 'o' }

struct options {
	struct replay_options replay;
	struct explain_options explain;
	struct report_options report;
	struct leak_options leaks;
	struct rerun_options rerun;
	const struct export_format *format;
	const char *picture;
	int (*run)(int fd, const char *name, const struct options *options);
};

static const char usage_text[] =
"usage: npool-trace record [-o FILE] [--stacks[=1/N]] [--sizes MIN-MAX]\n"
"                   [--ring BYTES] [-L FACE] [--] COMMAND [ARG ...]\n"
"       npool-trace record -p PID [--seconds N] [OPTION ...]\n"
"       npool-trace report [--most N] FILE\n"
"       npool-trace leaks [--most N] [--older SECONDS] FILE\n"
"       npool-trace export --format=FORMAT FILE\n"
"       npool-trace draw FILE PICTURE.svg|PICTURE.html\n"
"       npool-trace replay [OPTION ...] FILE\n"
"       npool-trace replay --netty [OPTION ...] TRACE\n"
"       npool-trace explain [OPTION ...] TRACE\n"
"       npool-trace --help | --version\n"
"\n"
"record runs COMMAND on the malloc face and writes all that it asks of the\n"
"pool into FILE, which npool-trace(5) describes.\n"
"\n"
"  -o, --output FILE  write there (npool-trace.npt)\n"
"  --stacks[=1/N]     who asked: of each, or of one in N\n"
"  --sizes MIN-MAX    only pieces of so many bytes, as they are rounded\n"
"  --ring BYTES       of each thread, until they are read: a power of two,\n"
"                     65536..1073741824 (4194304)\n"
"  -L, --face FACE    the libnpool-malloc.so to preload\n"
"  -p, --pid PID      not a command: a process that runs, until it ends, or\n"
"                     npool-trace gets SIGINT or SIGTERM\n"
"  --seconds N        or so long\n"
"\n"
"report prints what a recording says, leaks what was never freed (exit status\n"
"1 if there is such), export writes it in another form to standard output:\n"
"csv, netty (a text trace), chrome (Perfetto), folded (flame graphs) or pprof.\n"
"draw makes a picture of it: memory and chunks over time, sizes, lifetimes.\n"
"\n"
"  --most N           rows of a table, or stacks (20)\n"
"  --older SECONDS    only what lived so long when the recording ended\n"
"\n"
"replay does once more what a recording says was done, with pools of this\n"
"version, and prints what came of it beside what was recorded.\n"
"\n"
"  --conf OPTIONS     options of the pools, as in NPOOL_CONF; others are as\n"
"                     recorded\n"
"  --nodes N[xCPUS]   a machine of N nodes (1..64), of so many CPUs each\n"
"  --map TID=NODE,... threads that are on a node of it\n"
"  --touch            write to the pieces, a byte to each page\n"
"  -j, --json         print JSON\n"
"  --suggest          look for better options, and print them\n"
"  -q, --quiet        print nothing but what is wrong\n"
"\n"
"replay --netty and explain run the text trace TRACE (- is standard input)\n"
"through one arena of the library, with the size classes and the policies of\n"
"Netty 4.1.48 and no caches. replay --netty prints where each request was\n"
"placed; explain also prints how that was decided, and draws pictures.\n"
"\n"
"  --netty         decide as Netty does\n"
"  --page-size N   bytes of a page, a power of two, 4096..1048576 (8192)\n"
"  --max-order N   a chunk is page size << N bytes, N 0..14, at most 1 GiB\n"
"                  (11)\n"
"  -q, --quiet     print nothing but what is wrong\n"
"  --help          print this and exit\n"
"  --version       print the version and exit\n"
"\n"
"Of explain:\n"
"  --tree          draw the tree at each step: whole, or round the path\n"
"  --svg FILE      draw the chunks as they are at the end\n"
"  --html FILE     make a page that steps through the trace, to and fro\n"
"\n"
"A trace has one operation a line: a ID SIZE [MAX], c ID NEWCAP, f ID, t, l\n"
"and s; npool-trace(1) says what they mean and print.\n"
"\n"
"Exit status: 0 all is well; 1 out of memory, or reading or writing failed, or\n"
"something leaks; 2 wrong usage, a malformed line, or a damaged recording. Of\n"
"record: COMMAND's, 128 + the signal that ended it, 125 npool-trace failed,\n"
"126 COMMAND cannot be run, 127 there is none.\n";

static int usage_error(const char *what, const char *which)
{
	fprintf(stderr, "npool-trace: %s%s; try npool-trace --help\n", what,
		which);
	return REPLAY_MALFORMED;
}

static bool parse_number(const char *text, unsigned long *value)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool parse_page_size(const char *text, unsigned *shift)
{
	unsigned long size;

	if (!parse_number(text, &size) || !np_is_pow2(size))
		return false;
	*shift = np_log2(size);
	return *shift >= PAGE_SHIFT_MIN && *shift <= PAGE_SHIFT_MAX;
}

static bool parse_order(const char *text, unsigned *order)
{
	unsigned long value;

	if (!parse_number(text, &value) || value > ORDER_MAX)
		return false;
	*order = (unsigned)value;
	return true;
}

static int read_file(const char *path, const struct options *options)
{
	int fd, code;

	if (!strcmp(path, "-"))
		return options->run(STDIN_FILENO, "standard input", options);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "npool-trace: %s: %s\n", path,
			strerror(errno));
		return REPLAY_FAILED;
	}
	code = options->run(fd, path, options);
	close(fd);
	return code;
}

static int run_netty(int fd, const char *name, const struct options *options)
{
	return replay_netty(fd, name, &options->replay);
}

static int run_rerun(int fd, const char *name, const struct options *options)
{
	return options->rerun.suggest
		? rerun_suggest(fd, name, &options->rerun)
		: rerun(fd, name, &options->rerun);
}

/* An option that both commands take. Returns an exit code. */
static int common_option(int c, struct options *options)
{
	if (c == 'q')
		options->replay.quiet = true;
	else if (c == 'p' && !parse_page_size(optarg,
					      &options->replay.page_shift))
		return usage_error("--page-size wants a power of two from "
				   "4096 to 1048576, not ", optarg);
	else if (c == 'o' && !parse_order(optarg, &options->replay.max_order))
		return usage_error("--max-order wants a number from 0 to 14, "
				   "not ", optarg);
	return REPLAY_OK;
}

/* All options are there: the one TRACE behind them. */
static int run_trace(int argc, char **argv, const struct options *options)
{
	if (options->replay.page_shift + options->replay.max_order >
	    CHUNK_SHIFT_MAX)
		return usage_error("page size << max order is over 1 GiB", "");
	if (argc - optind != 1)
		return usage_error(argv[0], " wants one TRACE");
	return read_file(argv[optind], options);
}

/* The one FILE behind the options. */
static int read_recording(int argc, char **argv, const struct options *options)
{
	if (argc - optind != 1)
		return usage_error(argv[0], " wants one FILE");
	return read_file(argv[optind], options);
}

/* An option of a recording's replay. Returns an exit code. */
static int rerun_option(int c, struct rerun_options *o)
{
	if (c == 'c')
		o->conf = optarg;
	else if (c == 'N' && !rerun_read_nodes(optarg, o))
		return usage_error("--nodes wants N or NxCPUS, N up to 64, "
				   "CPUS up to 128, not ", optarg);
	else if (c == 'm')
		o->map = optarg;
	else if (c == 't')
		o->touch = true;
	else if (c == 'j')
		o->json = true;
	else if (c == 's')
		o->suggest = true;
	return REPLAY_OK;
}

static int replay_command(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "netty", no_argument, NULL, 'n' },
		{ "conf", required_argument, NULL, 'c' },
		{ "nodes", required_argument, NULL, 'N' },
		{ "map", required_argument, NULL, 'm' },
		{ "touch", no_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "suggest", no_argument, NULL, 's' },
		COMMON_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { DEFAULTS, .run = run_rerun };
	const char *of_trace = NULL, *of_recording = NULL;
	int c, code = REPLAY_OK;

	while (code == REPLAY_OK &&
	       (c = getopt_long(argc, argv, "qj", long_options,
				NULL)) != -1) {
		if (c == '?')
			return usage_error("replay takes no such option, or "
					   "it wants a value", "");
		if (c == 'n')
			options.run = run_netty;
		else if (strchr("cNmtjs", c))
			of_recording = "of a recording, not of --netty";
		else if (c != 'q')
			of_trace = "--page-size and --max-order are of "
				   "--netty: see --conf";
		code = common_option(c, &options);
		if (code == REPLAY_OK)
			code = rerun_option(c, &options.rerun);
	}
	if (code != REPLAY_OK)
		return code;
	if (options.run == run_netty)
		return of_recording
			? usage_error("--conf, --nodes, --map, --touch, "
				      "--json and --suggest are ",
				      of_recording)
			: run_trace(argc, argv, &options);
	if (of_trace)
		return usage_error(of_trace, "");
	if (options.rerun.suggest && options.rerun.json)
		return usage_error("--suggest prints no JSON", "");
	options.rerun.quiet = options.replay.quiet;
	return read_recording(argc, argv, &options);
}

static int run_explain(int fd, const char *name,
		       const struct options *options)
{
	return explain(fd, name, &options->explain, &options->replay);
}

static int explain_command(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "tree", no_argument, NULL, 't' },
		{ "svg", required_argument, NULL, 's' },
		{ "html", required_argument, NULL, 'h' },
		COMMON_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { DEFAULTS, .run = run_explain };
	int c, code = REPLAY_OK;

	while (code == REPLAY_OK &&
	       (c = getopt_long(argc, argv, "q", long_options, NULL)) != -1) {
		if (c == 't')
			options.explain.tree = true;
		else if (c == 's')
			options.explain.svg = optarg;
		else if (c == 'h')
			options.explain.html = optarg;
		else if (c == '?')
			return usage_error("explain takes no such option, or "
					   "it wants a value", "");
		else
			code = common_option(c, &options);
	}
	return code == REPLAY_OK ? run_trace(argc, argv, &options) : code;
}

/* "1/N"; NULL: each has one. */
static bool parse_share(const char *text, unsigned *every)
{
	unsigned long n = 1;

	if (text && (strncmp(text, "1/", 2) || !parse_number(text + 2, &n) ||
		     !n || n > UINT32_MAX))
		return false;
	*every = (unsigned)n;
	return true;
}

/* "MIN-MAX" */
static bool parse_sizes(const char *text, struct record_options *o)
{
	size_t n = strcspn(text, "-");
	char *min = strndup(text, n);
	unsigned long low = 0, high = 0;
	bool good = min && text[n] && parse_number(min, &low) &&
		    parse_number(text + n + 1, &high) && low <= high;

	free(min);
	o->size_min = low;
	o->size_max = high;
	return good;
}

static bool parse_ring(const char *text, uint64_t *size)
{
	unsigned long n;

	if (!parse_number(text, &n) || !np_is_pow2(n))
		return false;
	*size = n;
	return n >= RING_MIN && n <= RING_MAX;
}

static bool parse_rows(const char *text, unsigned *most)
{
	unsigned long n;

	if (!parse_number(text, &n) || !n || n > UINT32_MAX)
		return false;
	*most = (unsigned)n;
	return true;
}

static bool parse_pid(const char *text, pid_t *pid)
{
	unsigned long n;

	if (!parse_number(text, &n) || !n || n > INT_MAX)
		return false;
	*pid = (pid_t)n;
	return true;
}

/* Returns an exit code. */
static int record_option(int c, struct record_options *o)
{
	if (c == 'o')
		o->output = optarg;
	else if (c == 'L')
		o->face = optarg;
	else if (c == 'p' && !parse_pid(optarg, &o->pid))
		return usage_error("--pid wants a process id, not ", optarg);
	else if (c == 't' && !parse_rows(optarg, &o->seconds))
		return usage_error("--seconds wants a number, not ", optarg);
	else if (c == 's' && !parse_share(optarg, &o->stack_every))
		return usage_error("--stacks wants 1/N, not ", optarg);
	else if (c == 'z' && !parse_sizes(optarg, o))
		return usage_error("--sizes wants MIN-MAX, not ", optarg);
	else if (c == 'r' && !parse_ring(optarg, &o->ring_size))
		return usage_error("--ring wants a power of two from 65536 to "
				   "1073741824, not ", optarg);
	else if (c == '?')
		return usage_error("record takes no such option, or it wants "
				   "a value", "");
	return REPLAY_OK;
}

static int run_record(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "face", required_argument, NULL, 'L' },
		{ "stacks", optional_argument, NULL, 's' },
		{ "sizes", required_argument, NULL, 'z' },
		{ "ring", required_argument, NULL, 'r' },
		{ "pid", required_argument, NULL, 'p' },
		{ "seconds", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	struct record_options o = { .output = "npool-trace.npt",
				    .size_max = UINT64_MAX,
				    .ring_size = RING_PRESET };
	int c, code = REPLAY_OK;

	while (code == REPLAY_OK &&
	       (c = getopt_long(argc, argv, "+o:L:p:", long_options,
				NULL)) != -1)
		code = record_option(c, &o);
	if (code != REPLAY_OK)
		return code;
	if (o.pid && optind < argc)
		return usage_error("record: a command, or a process?", "");
	if (o.pid)
		return record_process(&o);
	if (o.seconds)
		return usage_error("--seconds is for --pid", "");
	if (optind == argc)
		return usage_error("record: which command?", "");
	o.command = argv + optind;
	return record_command(&o);
}

static int run_report(int fd, const char *name, const struct options *options)
{
	return report(fd, name, &options->report);
}

static int run_leaks(int fd, const char *name, const struct options *options)
{
	return leaks(fd, name, &options->leaks);
}

static int run_export(int fd, const char *name, const struct options *options)
{
	return export_recording(fd, name, options->format);
}

static bool parse_seconds(const char *text, uint64_t *ns)
{
	char *end;
	double s = strtod(text, &end);

	if (*text < '0' || *text > '9' || *end || !(s < 1e9))
		return false;
	*ns = (uint64_t)(s * 1e9);
	return true;
}

static int report_command(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "most", required_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .report = { .most = ROWS_PRESET },
				   .run = run_report };
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (c == '?')
			return usage_error("report takes no such option, or it "
					   "wants a value", "");
		else if (!parse_rows(optarg, &options.report.most))
			return usage_error("--most wants a number, not ",
					   optarg);
	return read_recording(argc, argv, &options);
}

static int leaks_command(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "most", required_argument, NULL, 'm' },
		{ "older", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .leaks = { .most = ROWS_PRESET },
				   .run = run_leaks };
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (c == '?')
			return usage_error("leaks takes no such option, or it "
					   "wants a value", "");
		else if (c == 'm' && !parse_rows(optarg, &options.leaks.most))
			return usage_error("--most wants a number, not ",
					   optarg);
		else if (c == 'o' && !parse_seconds(optarg,
						    &options.leaks.older_ns))
			return usage_error("--older wants seconds, not ",
					   optarg);
	return read_recording(argc, argv, &options);
}

static int export_command(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "format", required_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .run = run_export };
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == '?')
			return usage_error("export takes no such option, or it "
					   "wants a value", "");
		options.format = export_find(optarg);
		if (!options.format)
			return usage_error("--format wants csv, netty, chrome, "
					   "folded or pprof, not ", optarg);
	}
	if (!options.format)
		return usage_error("export wants --format", "");
	return read_recording(argc, argv, &options);
}

static int run_draw(int fd, const char *name, const struct options *options)
{
	return draw(fd, name, options->picture);
}

static int draw_command(int argc, char **argv)
{
	static const struct option long_options[] = { { NULL, 0, NULL, 0 } };
	struct options options = { .run = run_draw };

	if (getopt_long(argc, argv, "", long_options, NULL) != -1)
		return usage_error("draw takes no options", "");
	if (argc - optind != 2)
		return usage_error("draw wants a FILE and the PICTURE to make",
				   "");
	options.picture = argv[optind + 1];
	if (!draw_knows(options.picture))
		return usage_error("draw makes files that end in .svg or "
				   ".html, not ", options.picture);
	return read_file(argv[optind], &options);
}

static int print(const char *text)
{
	if (fputs(text, stdout) != EOF && fflush(stdout) != EOF)
		return REPLAY_OK;
	fprintf(stderr, "npool-trace: cannot write: %s\n", strerror(errno));
	return REPLAY_FAILED;
}

int main(int argc, char **argv)
{
	/* Of a command too. */
	if (argc >= 2 && (!strcmp(argv[1], "--help") ||
			  (argc == 3 && !strcmp(argv[2], "--help"))))
		return print(usage_text);
	if (argc >= 2 && !strcmp(argv[1], "--version"))
		return print("npool-trace " PACKAGE_VERSION "\n");
	if (argc >= 2 && !strcmp(argv[1], "record"))
		return run_record(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "report"))
		return report_command(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "leaks"))
		return leaks_command(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "export"))
		return export_command(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "draw"))
		return draw_command(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "replay"))
		return replay_command(argc - 1, argv + 1);
	if (argc >= 2 && !strcmp(argv[1], "explain"))
		return explain_command(argc - 1, argv + 1);
	return usage_error(argc < 2 ? "nothing to do"
				    : "no such command: ",
			   argc < 2 ? "" : argv[1]);
}
