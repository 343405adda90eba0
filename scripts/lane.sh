#!/bin/sh
# lane.sh NAME COMMAND [ARGUMENT...]: runs one lane of `make test` under a heading and tells how long it took.
# lane.sh --skipped WHAT: says that something could not be run here, now and again at the end.
# lane.sh --begin | --end: starts the list of lanes anew | prints it with the plain closing line "N passed, N failed".
set -eu

list=build/lanes.txt
skipped=build/skipped.txt
mkdir -p build

case $1 in
--begin)
    : >"$list"
    : >"$skipped"
    exit 0
    ;;
--skipped)
    printf 'SKIPPED: %s\n' "$2" | tee -a "$skipped"
    exit 0
    ;;
--end)
    printf '\n==== summary\n'
    cat "$list"
    sort -u "$skipped"
    printf 'lanes: %d passed, %d failed\n' "$(grep -c ' ok$' "$list")" "$(grep -vc ' ok$' "$list")"
    exit 0
    ;;
esac

name=$1
shift
printf '\n==== %s\n' "$name"
began=$(date +%s)
status=0
"$@" || status=$?
took=$(($(date +%s) - began))
if [ "$status" -ne 0 ]; then
    printf '%-44s %4d s  FAILED\n' "$name" "$took" >>"$list"
    printf '==== %s: FAILED after %d s (exit status %d)\n' "$name" "$took" "$status"
    exit 1
fi
printf '%-44s %4d s  ok\n' "$name" "$took" >>"$list"
printf '==== %s: ok (%d s)\n' "$name" "$took"
