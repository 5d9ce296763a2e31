dnl SPDX-License-Identifier: MIT
dnl Copyright (c) 2026 the libnpool authors
dnl
dnl The few checks of configure.ac that Autoconf does not bring.

dnl NP_TRY_CFLAGS(VARIABLE, FLAGS): adds each of FLAGS that the compiler
dnl takes without a complaint to VARIABLE. -Werror: clang only warns of a
dnl warning option that it does not know.
AC_DEFUN([NP_TRY_CFLAGS], [
for np_flag in $2; do
	AC_MSG_CHECKING([whether $CC takes $np_flag])
	np_saved_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $np_flag"
	AC_COMPILE_IFELSE([AC_LANG_SOURCE([[int np_none;]])],
		[AC_MSG_RESULT([yes])
		$1="$$1 $np_flag"],
		[AC_MSG_RESULT([no])])
	CFLAGS=$np_saved_CFLAGS
done
])

dnl NP_TRY_LDFLAGS(VARIABLE, FLAGS): the same for the linker.
AC_DEFUN([NP_TRY_LDFLAGS], [
for np_flag in $2; do
	AC_MSG_CHECKING([whether the linker takes $np_flag])
	np_saved_LDFLAGS=$LDFLAGS
	LDFLAGS="$LDFLAGS $np_flag"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])
		$1="$$1 $np_flag"],
		[AC_MSG_RESULT([no])])
	LDFLAGS=$np_saved_LDFLAGS
done
])

dnl NP_SANITIZERS(LIST): sets NP_SANITIZER_FLAGS for LIST, or ends configure
dnl if LIST makes no sense or the compiler's runtimes are not there. "no" and
dnl "" are the empty list; enable_sanitizers is then "no".
AC_DEFUN([NP_SANITIZERS], [
np_list=$1
AS_CASE([",$np_list,"],
	[,no,|,,], [enable_sanitizers=no; np_list=],
	[,yes,], [AC_MSG_ERROR(
		[--enable-sanitizers needs a list: address,undefined or thread])],
	[*,thread,*,address,*|*,address,*,thread,*], [AC_MSG_ERROR(
		[--enable-sanitizers: address and thread exclude each other])])
np_IFS=$IFS; IFS=,
for np_one in $np_list; do
	AS_CASE([$np_one],
		[address|undefined|leak|thread], [],
		[AC_MSG_ERROR([--enable-sanitizers: '$np_one' is not one of \
address, undefined, leak, thread])])
done
IFS=$np_IFS
AS_IF([test -n "$np_list"], [
	NP_SANITIZER_FLAGS="-fsanitize=$np_list -fno-sanitize-recover=all"
	NP_SANITIZER_FLAGS="$NP_SANITIZER_FLAGS -fno-omit-frame-pointer"
	AC_MSG_CHECKING([whether $CC links with -fsanitize=$np_list])
	np_saved_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS $NP_SANITIZER_FLAGS"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		AC_MSG_ERROR([the runtime of -fsanitize=$np_list is missing.
  Debian: it comes with gcc; for clang: apt-get install libclang-rt-dev])])
	CFLAGS=$np_saved_CFLAGS
])
])
