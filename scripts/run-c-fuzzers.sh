#!/bin/sh
# run-c-fuzzers.sh SECONDS PROGRAM...: runs each libFuzzer program for SECONDS, starting from its seeds in
# tests/fuzz/corpus/NAME and from what earlier runs found. New inputs and crashes go to build/fuzz/, not into the tree.
set -eu

seconds=$1
shift
for program in "$@"; do
    name=$(basename "$program")
    name=${name#fuzz_}
    found=build/fuzz/found-$name
    mkdir -p "$found"
    if ! "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix=build/fuzz/ "$found" "tests/fuzz/corpus/$name" >"$program.log" 2>&1 </dev/null; then
        cat "$program.log"
        printf 'fuzz_%s: FAILED\n' "$name"
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$program.log")
    printf 'fuzz_%-19s %s inputs in %s s\n' "$name" "$runs" "$seconds"
done
