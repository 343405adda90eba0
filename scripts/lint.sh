#!/bin/sh
# lint.sh: what holds for the text of the tree. Runs in the root, by way of with-go.sh.
set -eu
export LC_ALL=C.UTF-8 # columns are characters, not bytes

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
bad=0

# report TEXT LIST: a line with TEXT and the offenders, if there are any.
report() {
    if [ -n "$2" ]; then
        printf '%s:\n%s\n' "$1" "$2"
        bad=1
    fi
}

# files SUFFIX...: the module's files with one of these suffixes, without what was built. No name here has a blank.
files() {
    for suffix in "$@"; do
        find . \( -path ./build -o -path ./bench -o -path ./.git \) -prune -o -type f -name "*.$suffix" -print
    done
}

report "not gofmt'ed" "$(gofmt -l .)"
# shellcheck disable=SC2046 # lists of names
{
    report 'import "C" outside csrc/' "$(grep -lE '^(import )?[[:space:]]*"C"$' $(files go) | grep -v '^\./csrc/' || true)"
    report "requirements of the root module" "$(grep -nE '^(require|replace|exclude)' go.mod || true)"
    report "left undone" "$(grep -nwE '(TO''DO|FIX''ME|X''XX)' $(files c h go s sh py cjs) || true)"
    report "lines over 120 columns" "$(grep -nE '^.{121,}$' $(files c h) || true)"
    report "tabs or trailing blanks in C" "$(grep -nE '	|[[:blank:]]$' $(files c h) || true)"
    report "C files without the licence line" "$(grep -L \
        'Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.' $(files c h) || true)"
}
[ "$bad" -eq 0 ] || exit 1

shellcheck scripts/*.sh .ci/run tests/conformance/run.sh tests/vm/*.sh tests/vm/init
go vet ./...
# staticcheck needs a current Go and may switch to it, where the one in use is older.
GOTOOLCHAIN=auto go run "$staticcheck" ./...
