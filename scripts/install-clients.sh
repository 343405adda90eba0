#!/bin/sh
# install-clients.sh: installs the WebSocket clients that tests/e2e talks to, each in a fixed version, into a cache
# outside the tree: $HIOLOAD_CLIENTS, else hioload-ws/clients in the user's cache folder. Prints that folder.
# What is there already stays; nothing is installed system-wide.
set -eu

ws=8.18.3          # npm
websockets=15.0.1  # PyPI

clients=${HIOLOAD_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/hioload-ws/clients}
node=$clients/node-ws-$ws
python=$clients/python-websockets-$websockets
mkdir -p "$clients"

# A mark is written last, so that an installation that was cut short is made anew.
if [ ! -e "$node/complete" ]; then
    rm -rf "$node"
    mkdir -p "$node"
    echo '{"private": true}' >"$node/package.json"
    npm install --prefix "$node" --no-audit --no-fund --loglevel=error "ws@$ws" >&2
    touch "$node/complete"
fi
if [ ! -e "$python/complete" ]; then
    rm -rf "$python"
    python3 -m venv "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check "websockets==$websockets" >&2
    touch "$python/complete"
fi
# Names without the versions, which only this file knows.
ln -sfn "$node" "$clients/node"
ln -sfn "$python" "$clients/python"
echo "$clients"
