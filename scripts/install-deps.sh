#!/bin/sh
# install-deps.sh run|test|vm|bench|micro|arm64: installs what is missing on this machine, and only that.
#
#   run   what `make run` needs: a C compiler with the C library's headers, liburing, libnuma, zlib, and some Go
#         (with-go.sh sees to its version)
#   test  that, and what `make test` needs: clang with its sanitizers, cmocka, valgrind, strace, shellcheck, Python,
#         Node.js, and on Debian a browser
#   vm    what `make numa-test` needs to make a machine with several NUMA nodes: qemu, a static busybox, cpio (Debian only)
#   bench what `make bench` needs: Python and taskset (its servers in Rust are left out where there is no cargo)
#   micro what `make microbench` needs: Concurrency Kit (Debian, Ubuntu and Fedora)
#   arm64 what `make test-arm64` needs on another machine: a cross compiler and an emulator (Debian and Ubuntu only)
#
# Everything is looked for by use, not by package name: a compiler that was installed by hand counts. When nothing is
# missing, the script neither asks for anything nor touches the network. When something is, it names the packages and
# installs them with the distribution's package manager (apt-get, dnf or apk), through sudo unless it runs as root.
# It needs no terminal: sudo fails by itself where it would have to ask for a password and nobody can answer.
set -eu

say() { printf '%s\n' "$*" >&2; }
here=$(dirname "$0")
have() { command -v "$1" >/dev/null 2>&1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# compiles COMPILER CODE [FLAG...]: whether COMPILER makes a program of CODE.
compiles() {
    compiler=$1
    printf '%s\n' "$2" >"$scratch/probe.c"
    shift 2
    have "$compiler" && "$compiler" "$scratch/probe.c" -o "$scratch/probe" "$@" >/dev/null 2>&1
}

# A program that needs the C library's and the kernel's headers.
main='#include <stdio.h>
#include <sys/epoll.h>
int main(void) { return 0; }'
fuzz='#include <stddef.h>
int LLVMFuzzerTestOneInput(const unsigned char *d, size_t n) { (void)d; return (int)(n - n); }'
liburing='#include <liburing.h>
int main(void) { return io_uring_queue_init(1, 0, 0); }'
libnuma='#include <numa.h>
int main(void) { return numa_available(); }'
zlib='#include <zlib.h>
int main(void) { return zlibVersion()[0] == 0; }'
ck='#include <ck_ring.h>
int main(void) { return 0; }'
cmocka='#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
int main(void) { return 0; }'

# missing GROUP: the nouns that GROUP needs and this machine lacks.
missing() { find_missing "$1" | sort -u | paste -s -d " " -; }

find_missing() {
    [ -n "$("$here/with-go.sh" --list)" ] || echo go
    case $1 in
    run) finds_core "${CC:-gcc}" ;;
    test)
        finds_core gcc
        finds_checkers
        ;;
    vm)
        have qemu-system-x86_64 || echo qemu
        static_busybox || echo busybox
        have cpio || echo cpio
        ;;
    bench)
        finds_core gcc
        have python3 || echo python
        have taskset || echo util-linux
        ;;
    micro)
        finds_core gcc
        compiles gcc "$ck" || echo ck
        ;;
    arm64) { compiles aarch64-linux-gnu-gcc "$zlib" -lz && have qemu-aarch64; } || echo arm64 ;;
    esac
}

# finds_core COMPILER: what the core itself is built with.
finds_core() {
    compiles "$1" "$main" || echo cc
    compiles "$1" "$liburing" -luring || echo liburing
    compiles "$1" "$libnuma" -lnuma || echo libnuma
    compiles "$1" "$zlib" -lz || echo zlib
}

# The machine has no libraries, so its shell must need none.
static_busybox() { have busybox && ! ldd "$(command -v busybox)" >/dev/null 2>&1; }

finds_checkers() {
    have clang || echo clang
    { compiles clang "$main" -fsanitize=address,undefined && compiles clang "$main" -fsanitize=thread &&
        compiles clang "$fuzz" -fsanitize=fuzzer; } || echo sanitizers
    compiles gcc "$cmocka" -lcmocka || compiles clang "$cmocka" -lcmocka || echo cmocka
    { have valgrind && valgrind -q --error-exitcode=1 true >/dev/null 2>&1; } || echo valgrind
    have strace || echo strace
    have shellcheck || echo shellcheck
    have git || echo git
    have nc || echo nc
    have curl || echo curl
    { have node && have npm; } || echo node
    { have python3 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1; } || echo python
    have chromium || ! on_debian || echo chromium
}

# Whoever has no Chromium elsewhere does without the tests in a browser: Ubuntu's, for one, is a snap.
# shellcheck disable=SC1091 # it is the system's
on_debian() { [ -r /etc/os-release ] && [ "$(. /etc/os-release && echo "$ID")" = debian ]; }

# package NOUN: the packages that bring NOUN with the package manager in use.
package() {
    case $manager:$1 in
    apt-get:cc) echo gcc libc6-dev ;;
    apt-get:go) echo golang-go ca-certificates ;;
    apt-get:liburing) echo liburing-dev ;;
    apt-get:libnuma) echo libnuma-dev ;;
    apt-get:zlib) echo zlib1g-dev ;;
    apt-get:qemu) echo qemu-system-x86 ;;
    apt-get:busybox) echo busybox-static ;;
    apt-get:ck) echo libck-dev ;;
    apt-get:sanitizers) clang_runtime ;;
    apt-get:cmocka) echo libcmocka-dev ;;
    apt-get:valgrind) echo valgrind libc6-dbg ;;
    apt-get:node) echo nodejs npm ;;
    apt-get:arm64) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user zlib1g-dev:arm64 ;;
    apt-get:python) echo python3 python3-venv ;;
    apt-get:nc) echo netcat-openbsd ;;
    dnf:cc) echo gcc glibc-devel ;;
    dnf:go) echo golang ;;
    dnf:liburing) echo liburing-devel ;;
    dnf:libnuma) echo numactl-devel ;;
    dnf:zlib) echo zlib-devel ;;
    dnf:ck) echo ck-devel ;;
    dnf:sanitizers) echo compiler-rt ;;
    dnf:cmocka) echo libcmocka-devel ;;
    dnf:shellcheck) echo ShellCheck ;;
    dnf:node) echo nodejs npm ;;
    dnf:python) echo python3 ;;
    dnf:nc) echo nmap-ncat ;;
    apk:cc) echo gcc musl-dev linux-headers ;;
    apk:go) echo go ca-certificates ;;
    apk:liburing) echo liburing-dev ;;
    apk:libnuma) echo numactl-dev ;;
    apk:zlib) echo zlib-dev ;;
    apk:sanitizers) echo compiler-rt ;;
    apk:cmocka) echo cmocka-dev ;;
    apk:node) echo nodejs npm ;;
    apk:python) echo python3 ;;
    apk:nc) echo netcat-openbsd ;;
    *) echo "$1" ;;
    esac
}

# Debian and Ubuntu put clang's runtime libraries into a package named after clang's version. Before clang is there,
# that of the package to be installed counts.
clang_runtime() {
    version=$(clang -dumpversion 2>/dev/null || apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-//p')
    version=${version%%.*}
    if apt-cache show "libclang-rt-$version-dev" >/dev/null 2>&1; then
        echo "libclang-rt-$version-dev"
    else
        echo "libclang-common-$version-dev"
    fi
}

group=${1:-}
case $group in
run | test | vm | bench | micro | arm64) ;;
*)
    say "usage: $0 run|test|vm|bench|micro|arm64"
    exit 2
    ;;
esac

lacking=$(missing "$group")
[ -n "$lacking" ] || exit 0

manager=
for candidate in apt-get dnf apk; do
    if have "$candidate"; then
        manager=$candidate
        break
    fi
done
if [ -z "$manager" ]; then
    say "missing: $lacking"
    say "This machine has none of apt-get, dnf and apk: please install these by hand, then try again."
    exit 1
fi

root=
if [ "$(id -u)" != 0 ]; then
    if ! have sudo; then
        say "missing: $lacking"
        say "Installing needs root and there is no sudo here. As root, run: sh scripts/install-deps.sh $group"
        exit 1
    fi
    root=sudo
fi

say "missing: $lacking; installing with $root${root:+ }$manager"
case $manager in
apt-get)
    [ "$group" != arm64 ] || $root dpkg --add-architecture arm64 # whose zlib there is no package of our own for
    $root apt-get update -q >&2
    packages=$(for noun in $lacking; do package "$noun"; done)
    # shellcheck disable=SC2086 # a list of names
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages >&2
    ;;
dnf)
    packages=$(for noun in $lacking; do package "$noun"; done)
    # shellcheck disable=SC2086
    $root dnf install -q -y $packages >&2
    ;;
apk)
    packages=$(for noun in $lacking; do package "$noun"; done)
    # shellcheck disable=SC2086
    $root apk add --no-cache $packages >&2
    ;;
esac

lacking=$(missing "$group")
if [ -n "$lacking" ]; then
    say "still missing after the installation: $lacking"
    exit 1
fi
