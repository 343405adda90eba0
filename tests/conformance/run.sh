#!/bin/sh
# run.sh ENGINE all|fast epoll|io_uring: the public WebSocket conformance suite, Autobahn's, against build/conformance/echo.
# ENGINE is what scripts/install-conformance.sh has printed. Prints a summary; fails unless every case passes.
#
#   all   the 517 cases: 514 have a verdict, 3 (7.1.6, 7.13.1, 7.13.2) are there for information only
#   fast  those without sections 9 (large messages), 12 and 13 (compression), which take minutes
#
# The full report, with what went over the wire in each case, is in build/conformance/BACKEND-all or -fast.
set -eu

engine=$1
cases=$2
backend=$3

here=$(dirname "$0")
work=build/conformance/$backend-$cases
case $cases in
all) ok=514 informational=3 exclude='' ;;
fast) ok=244 informational=3 exclude='9.* 12.* 13.*' ;;
*)
    echo "$0: run all or fast, not $cases" >&2
    exit 2
    ;;
esac

server='' client=''
cleanup() {
    for pid in $client $server; do
        kill "$pid" 2>/dev/null || true # it has ended
    done
}
trap cleanup EXIT
trap 'exit 130' INT TERM

rm -rf "$work"
mkdir -p "$work"
mkfifo "$work/addr"
HIOLOAD_BACKEND=$backend build/conformance/echo >"$work/addr" 2>"$work/server.txt" &
server=$!
if ! read -r addr <"$work/addr"; then
    echo "the server ended:" >&2
    cat "$work/server.txt" >&2
    exit 1
fi

# engine_of ENGINE: runs it on the cases asked for.
kosoku() {
    set -f # the patterns are kosoku's
    for pattern in $exclude; do
        set -- "$@" -x "$pattern"
    done
    exec timeout 1800 "$engine" -m fuzzingclient -p "${JOBS:-2}" -i '*' "$@" -o "$work" "$addr"
}
wstest() {
    set -f
    separator=
    excluded=
    for pattern in $exclude; do
        excluded="$excluded$separator\"$pattern\""
        separator=', '
    done
    printf '{"outdir": "%s", "servers": [{"agent": "server", "url": "ws://%s"}], "cases": ["*"], %s}\n' "$work" "$addr" \
        "\"exclude-cases\": [$excluded], \"exclude-agent-cases\": {}" >"$work/spec.json"
    exec timeout 1800 "$engine" -m fuzzingclient -s "$work/spec.json"
}

began=$(date +%s)
"${engine##*/}" >"$work/log.txt" 2>&1 &
client=$!
wait "$client" || true # kosoku's status tells of failed cases, as the report does
client=
title="conformance, $backend, by ${engine##*/}, $(($(date +%s) - began)) s"
if [ ! -e "$work/index.json" ]; then
    echo "$title: no report; the engine said:"
    tail -5 "$work/log.txt"
    exit 1
fi
kill "$server" # which exits 0 when it has shut down as it should
wait "$server"
server=
python3 "$here/summary.py" "$title" "$work" "$ok" "$informational"
