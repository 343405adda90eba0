#!/bin/sh
# run-go-fuzzers.sh SECONDS: runs each Go fuzz test of the module, and of the differential tests' module, for SECONDS. By
# way of with-go.sh.
set -eu

for module in . tests/differential; do
    for package in $(go list -C "$module" ./...); do
        for target in $(go test -C "$module" -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
            # Minimising what is merely new takes a minute each time by default, in which nothing else is tried.
            go test -C "$module" -run '^$' -fuzz "^$target\$" -fuzztime "$1s" -fuzzminimizetime 1s "$package"
        done
    done
done
