#!/bin/sh
# run-c-tests.sh PROGRAM...: runs C test programs one after the other. Of one that passes, the closing line is printed;
# of one that fails, everything it said. The first failure ends the run. $WRAP, if set, goes before each program
# (valgrind and its options, say). A program that ran no test has failed.
#
# Programs that test loops run once on each backend of $BACKENDS (all: "epoll io_uring one_thread", the last being
# io_uring with a ring that belongs to one thread). Where io_uring is not to be had, that is said and noted down for the
# end of `make test`. test_loop_uring is about that backend alone; the programs of the fault layer choose backends
# themselves.
set -eu

here=$(dirname "$0")
backends=${BACKENDS:-epoll io_uring one_thread}

# run NAME LOG PROGRAM [VARIABLE=VALUE...]: one program, once.
run() {
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
}

case $backends in
*io_uring*)
    if ! why=$("$(dirname "$1")"/has_io_uring); then
        "$here/lane.sh" --skipped "C tests on io_uring, which is not to be had: $why"
        backends=epoll
    fi
    ;;
esac
for program in "$@"; do
    test=$(basename "$program")
    case $test in
    test_loop_uring) chosen=${backends#epoll} ;;
    test_loop_*) chosen=$backends ;;
    test_faults_*)
        # On all unless told otherwise.
        if [ "$backends" = epoll ]; then set_to=HL_TEST_BACKEND=epoll; else set_to=; fi
        run "$test" "$program.log" "$program" ${set_to:+"$set_to"}
        continue
        ;;
    *)
        run "$test" "$program.log" "$program"
        continue
        ;;
    esac
    for backend in $chosen; do
        case $backend in
        one_thread) run "$test, $backend" "$program-$backend.log" "$program" HL_TEST_BACKEND=io_uring HL_TEST_ONE_THREAD=1 ;;
        *) run "$test, $backend" "$program-$backend.log" "$program" HL_TEST_BACKEND="$backend" ;;
        esac
    done
done
