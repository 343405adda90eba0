#!/bin/sh
# run-c-tests.sh PROGRAM...: runs C test programs one after the other. Of one that passes, the closing line is printed;
# of one that fails, everything it said. The first failure ends the run. $WRAP, if set, goes before each program
# (valgrind and its options, say). A program that ran no test has failed.
set -eu

for program in "$@"; do
    name=$(basename "$program")
    log=$program.log
    status=0
    # shellcheck disable=SC2086 # a command and its options
    timeout 600 ${WRAP:-} "$program" >"$log" 2>&1 </dev/null || status=$?
    passed=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    if [ "$status" -ne 0 ] || [ "$passed" -eq 0 ]; then
        cat "$log"
        printf '%s: FAILED (exit status %d, %d tests passed)\n' "$name" "$status" "$passed"
        exit 1
    fi
    printf '%-24s [  PASSED  ] %d test(s).\n' "$name" "$passed"
done
