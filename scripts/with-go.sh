#!/bin/sh
# with-go.sh COMMAND [ARGUMENT...]: runs COMMAND with a Go on PATH that is new enough for go.mod.
# with-go.sh --list: prints the go commands this machine has, of whatever version.
#
# Looked for in this order: `go` on PATH, the usual places, and what an earlier run fetched. Where only an older Go is to be
# had (Debian 12 has 1.19, Ubuntu 24.04 1.22), that one fetches a current release the way Go itself switches toolchains:
# as the module golang.org/toolchain, checked against Go's checksum database, into the user's module cache. No root, and
# nothing outside that cache changes.
set -eu

release=1.26.8 # fetched where the machine's own Go is too old

root=$(cd "$(dirname "$0")/.." && pwd)
wanted=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$root/go.mod")

say() { printf '%s\n' "$*" >&2; }

# plainly GO ARGUMENT...: runs this very Go, not one it would switch to, without settings that an older one rejects.
plainly() { GOTOOLCHAIN=local GOEXPERIMENT='' GOFLAGS='' "$@"; }

# version_of GO: its release, "1.19.8" say.
version_of() { plainly "$1" env GOVERSION 2>/dev/null | sed 's/^go\([0-9.]*\).*/\1/'; }

# at_least VERSION WANTED: compares the first two numbers.
at_least() {
    major=${1%%.*} minor=${1#*.}
    want_major=${2%%.*} want_minor=${2#*.}
    minor=${minor%%[!0-9]*} want_minor=${want_minor%%[!0-9]*}
    [ "$major" -gt "$want_major" ] || { [ "$major" -eq "$want_major" ] && [ "$minor" -ge "$want_minor" ]; }
}

candidates() {
    command -v go || true
    for path in /usr/local/go/bin/go /usr/lib/go-*/bin/go /usr/lib/go/bin/go /usr/lib/golang/bin/go "$HOME/sdk"/go*/bin/go; do
        if [ -x "$path" ]; then echo "$path"; fi
    done
}

# fetch GO: has GO download the release, makes it runnable, and prints the path of its go command. A module's archive
# carries neither permissions nor nested go.mod files; Go restores both when it switches, and so do we.
fetch() {
    module=golang.org/toolchain@v0.0.1-go$release.$(plainly "$1" env GOHOSTOS)-$(plainly "$1" env GOHOSTARCH)
    sdk=$(plainly "$1" env GOMODCACHE)/$module
    if [ ! -x "$sdk/bin/go" ]; then
        say "Go $(version_of "$1") is older than $wanted: fetching Go $release into Go's module cache (once, about 72 MB)"
        (cd / && plainly "$1" mod download "$module") >&2
        chmod -R u+w "$sdk"
        find "$sdk" -name _go.mod | while read -r file; do cp "$file" "${file%_go.mod}go.mod"; done
        chmod +x "$sdk"/pkg/tool/*/* "$sdk/bin/gofmt"
        chmod +x "$sdk/bin/go" # last: it marks the rest as done
        chmod -R a-w "$sdk"
    fi
    echo "$sdk/bin/go"
}

find_go() {
    older=
    for candidate in $(candidates); do
        version=$(version_of "$candidate")
        [ -n "$version" ] || continue
        if at_least "$version" "$wanted"; then
            echo "$candidate"
            return
        fi
        older=${older:-$candidate}
    done
    if [ -z "$older" ]; then
        say "no Go found: run 'sh scripts/install-deps.sh run', or install Go $wanted or later by hand"
        exit 1
    fi
    fetch "$older"
}

if [ "$1" = --list ]; then
    candidates
    exit
fi
go=$(find_go)
PATH=$(dirname "$go"):$PATH
export PATH
exec "$@"
