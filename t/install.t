#!/bin/sh
# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# What `make install` leaves is enough: a program finds header and library by
# pkg-config, links shared or static, and runs. `make uninstall` leaves nothing.
. "${0%/*}/tap.sh"
need pkg-config pkg-config
[ "$sanitizers" = no ] || skip_all 'a sanitizer is no part of what is installed'

root=$tmp/root
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR
cat >"$tmp/one.c" <<'END'
#include <npool.h>
#include <npool_chunk.h>
#include <stdio.h>

static char meta[NPOOL_CHUNK_META(8192, 4)];

int main(void)
{
	struct npool_shape shape = { 8192, 4, NPOOL_FINE };
	void *p = npool_malloc(300);
	npool_chunk_t *chunk;

	if (!p || npool_usable_size(p) < 300)
		return 1;
	if (npool_chunk_create(&chunk, &shape, meta, sizeof meta) != 0 ||
	    !npool_chunk_alloc(chunk, 300))
		return 1;
	npool_free(p);
	printf("%s %d.%d.%d\n", npool_version(), NPOOL_VERSION_MAJOR,
	       NPOOL_VERSION_MINOR, NPOOL_VERSION_PATCH);
	return 0;
}
END

# asks ARGS...: pkg-config about npool as it stands under $root.
asks() {
	PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=$(dirname "$pc") \
		pkg-config "$@" npool
}

# runs NAME FLAGS...: claims that $tmp/one.c, linked with FLAGS, runs.
runs() {
	claim=$1
	shift
	$CC -Wall -Werror -o "$tmp/one" "$tmp/one.c" "$@" >"$tmp/log" 2>&1 &&
		LD_LIBRARY_PATH=$libdir "$tmp/one" >"$tmp/said" 2>>"$tmp/log"
	ok $? "$claim" "$tmp/log"
}

plan 10
"$MAKE" -C "$abs_top_builddir" install DESTDIR="$root" >"$tmp/log" 2>&1
ok $? 'make install DESTDIR= works' "$tmp/log"
pc=$(find "$root" -name npool.pc)
[ -n "$pc" ]
ok $? 'npool.pc is installed' || bail_out 'nothing to go on with'
version=$(sed -n 's/^AC_INIT(\[libnpool\], \[\(.*\)\])$/\1/p' \
	"$abs_top_srcdir/configure.ac")
is "$(asks --modversion)" "$version" 'npool.pc says the version of this release'
libdir=$(dirname "$(find "$root" -name 'libnpool.so.0')")
[ -e "$libdir/libnpool.so" ] && [ -f "$libdir/libnpool-malloc.so" ] &&
	[ ! -e "$libdir/libnpool-malloc.a" ]
ok $? 'the shared libraries have the names that others use'
runs 'a program links the shared library' $(asks --cflags --libs)
is "$(cat "$tmp/said")" "$version $version" \
	'the library and its header say the version of this release'
readelf -d "$tmp/one" >"$tmp/log" 2>&1 && grep -q 'libnpool\.so\.0' "$tmp/log"
ok $? 'that program asks for libnpool.so.0' "$tmp/log"
if [ "${NPOOL_TEST_STATIC:-yes}" = yes ]; then
	archive=$(asks --static --libs | sed 's/-lnpool/-l:libnpool.a/')
	runs 'a program links the archive' $(asks --cflags) $archive
	readelf -d "$tmp/one" >"$tmp/log" 2>&1 && ! grep -q 'libnpool' "$tmp/log"
	ok $? 'that program asks for no libnpool' "$tmp/log"
else
	skip 2 'configured with --disable-static'
fi
"$MAKE" -C "$abs_top_builddir" uninstall DESTDIR="$root" >"$tmp/log" 2>&1
is "$(find "$root" ! -type d)" '' 'make uninstall leaves no file'
finish
