#!/bin/sh
# run-c-test.sh NAME LOG PROGRAM [VARIABLE=VALUE...]: runs a C test program. If it passes, its closing line is printed; if it
# fails, everything it said, which LOG keeps. $WRAP, if set, goes before the program (valgrind and its options, say). One
# that ran no test has failed.
set -eu

name=$1 log=$2 program=$3
shift 3
status=0
# shellcheck disable=SC2086 # a command and its options
timeout 600 env "$@" ${WRAP:-} "$program" >"$log" 2>&1 </dev/null || status=$?
passed=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
if [ "$status" -ne 0 ] || [ "$passed" -eq 0 ]; then
    cat "$log"
    printf '%s: FAILED (exit status %d, %d tests passed)\n' "$name" "$status" "$passed"
    exit 1
fi
skipped=$(sed -n 's/^\[  SKIPPED \] \([^0-9]\)/\1/p' "$log" | sort -u | paste -s -d ' ' -)
printf '%-32s [  PASSED  ] %d test(s).%s\n' "$name" "$passed" "${skipped:+ Skipped: $skipped}"
