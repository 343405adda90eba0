#!/bin/sh
# run-c-tests.sh PROGRAM...: runs C test programs, as many at a time as there are processors, each as run-c-test.sh does. It
# fails when one of them has.
#
# Programs that test loops run once on each backend of $BACKENDS (all: "epoll io_uring one_thread", the last being
# io_uring with a ring that belongs to one thread). Where io_uring is not to be had, that is said and noted down for the
# end of `make test`. test_loop_uring is about that backend alone; the programs of the fault layer choose backends
# themselves.
set -eu

here=$(dirname "$0")
backends=${BACKENDS:-epoll io_uring one_thread}

case $backends in
*io_uring*)
    if ! why=$("$(dirname "$1")"/has_io_uring); then
        "$here/lane.sh" --skipped "C tests on io_uring, which is not to be had: $why"
        backends=epoll
    fi
    ;;
esac

# runs PROGRAM: a line with the arguments of run-c-test.sh for each time that the program is to run.
runs() {
    program=$1 test=$(basename "$1")
    case $test in
    test_loop_uring) chosen=${backends#epoll} ;;
    test_loop_*) chosen=$backends ;;
    *)
        set_to=
        if [ "${test#test_faults_}" != "$test" ] && [ "$backends" = epoll ]; then set_to=HL_TEST_BACKEND=epoll; fi
        echo "$test $program.log $program${set_to:+ $set_to}"
        return
        ;;
    esac
    for backend in $chosen; do
        set_to="HL_TEST_BACKEND=$backend"
        if [ "$backend" = one_thread ]; then set_to='HL_TEST_BACKEND=io_uring HL_TEST_ONE_THREAD=1'; fi
        echo "'$test, $backend' $program-$backend.log $program $set_to"
    done
}

for program in "$@"; do
    runs "$program"
done | xargs -L 1 -P "$(nproc)" sh "$here/run-c-test.sh"
