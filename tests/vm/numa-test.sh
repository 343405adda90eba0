#!/bin/sh
# numa-test.sh WORK C_PROGRAM...: runs tests on machines this one is not: with 2 and with 4 memory nodes, huge pages, and
# Debian's kernel. C_PROGRAM... are C test programs, WORK is a folder for what is made here. By way of with-go.sh, in the
# module's root.
#
# It needs Debian on amd64, and root for packages that are missing; where either lacks, it says so and passes. On Debian
# as root it runs or fails.
set -eu

work=$1
shift
here=$(dirname "$0")

skip() {
    scripts/lane.sh --skipped "tests on machines with NUMA nodes: $1"
    exit 0
}
[ "$(sed -n 's/^ID=//p' /etc/os-release)" = debian ] || skip "they need Debian's packages"
[ "$(uname -m)" = x86_64 ] || skip "they need an amd64 processor"
if ! sh scripts/install-deps.sh vm; then
    [ "$(id -u)" != 0 ] || exit 1
    skip "they need packages that root must install: sh scripts/install-deps.sh vm"
fi

image=$work/image
rm -rf "$image"
mkdir -p "$image/bin" "$image/etc" "$image/tests" "$image/proc" "$image/sys" "$image/dev" "$image/tmp"
printf '%s localhost\n' 127.0.0.1 ::1 >"$image/etc/hosts"
cp "$(command -v busybox)" "$image/bin/busybox"
cp "$@" "$image/tests/"
for package in adapters csrc internal/loop internal/numa reactor server tcpio tests/e2e; do
    go test -c -ldflags '-s -w' -o "$image/tests/go_$(basename "$package")" "./$package"
done
go build -buildvcs=false -ldflags '-s -w' -o "$image/tests/" ./examples/... # which the end-to-end tests start
# The libraries that they are linked with, and the linker.
for program in "$image"/tests/*; do
    ldd "$program" | grep -o '/[^ ]*' || true
done | sort -u | while read -r library; do
    mkdir -p "$image$(dirname "$library")"
    cp -L "$library" "$image$library"
done

# c_lines PROGRAM...: the lines that run C tests, those of loops on each backend.
c_lines() {
    for program in "$@"; do
        name=$(basename "$program")
        case $name in
        test_loop_uring) backends='io_uring one_thread' ;;
        test_loop_*) backends='epoll io_uring one_thread' ;;
        *) backends='' ;;
        esac
        for backend in $backends; do
            case $backend in
            one_thread) echo "$name, $backend: env HL_TEST_BACKEND=io_uring HL_TEST_ONE_THREAD=1 /tests/$name" ;;
            *) echo "$name, $backend: env HL_TEST_BACKEND=$backend /tests/$name" ;;
            esac
        done
        [ -n "$backends" ] || echo "$name: /tests/$name"
    done
}

# go_lines PATTERN PACKAGE...: the lines that run the Go tests whose names match, on each backend. A machine of software
# takes minutes for what takes seconds here: floods and races are left out.
go_lines() {
    pattern=$1
    shift
    for package in "$@"; do
        for backend in epoll io_uring; do
            echo "$package, $backend: env HIOLOAD_BACKEND=$backend /tests/go_$(basename "$package")" \
                "-test.v -test.run $pattern -test.skip Racing|NoAllocations|UnderLoad|Nothing|Thousand|Reuse|Stress"
        done
    done
}

# The machine with 4 nodes has files of its own, and runs beside the other.
four=$work/image4
rm -rf "$four"
cp -a "$image" "$four"
{
    c_lines "$@"
    go_lines 'Node|Huge|Elsewhere|Affinity|Pinned|Memory' adapters internal/loop internal/numa server
} >"$four/programs"
{
    c_lines "$@"
    go_lines . adapters csrc internal/loop internal/numa reactor
    go_lines 'PerReadiness|Echoed|Edge|Backend|Balanced|Backpressure|Framed|Reads?InCallback|LastWords' tcpio
    go_lines 'Backend|Forbidden|Balanced|Memory|Pool|Node|Pinned|Spin|Echo|Pipelined|RunAndShutdown|IPv6' server
    echo "the examples: env HIOLOAD_PROGRAMS=/tests /tests/go_e2e -test.v -test.run ^TestSeeds|^TestForbidden"
} >"$image/programs"

"$here/kernel.sh" >/dev/null # fetched once, not by both
"$here/boot.sh" "$four" 4 1 384 32 >"$work/said4" 2>&1 &
beside=$!
status=0
echo "==== a machine with 2 nodes"
"$here/boot.sh" "$image" 2 2 512 32 || status=1
wait "$beside" || status=1
echo "==== a machine with 4 nodes"
cat "$work/said4"
exit "$status"
