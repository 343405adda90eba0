#!/bin/sh
# run-go-fuzzers.sh SECONDS: runs each Go fuzz test of the module for SECONDS. By way of with-go.sh.
set -eu

for package in $(go list ./...); do
    for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
        # Minimising what is merely new takes a minute each time by default, in which nothing else is tried.
        go test -run '^$' -fuzz "^$target\$" -fuzztime "$1s" -fuzzminimizetime 1s "$package"
    done
done
