#!/bin/sh
# install-conformance.sh [wstest|kosoku]: installs an engine of the Autobahn testsuite, the public conformance suite for
# WebSockets, into a cache outside the tree: $HIOLOAD_CONFORMANCE, else hioload-ws/conformance in the user's cache folder.
# Prints the path of its program. What is there already stays; nothing is installed system-wide.
#
#   wstest  the suite's own; needs a CPython 2.7 with pip, and a C compiler. Taken where these are to be had.
#   kosoku  another engine for the same 517 case files, several times as fast; needs CPython 3.10 or later
set -eu

wstest=25.10.1 # PyPI: autobahntestsuite; with what it needs in tests/conformance/requirements-python2.txt
kosoku=0.1.0   # PyPI

tests=$(dirname "$0")/../tests/conformance
cache=${HIOLOAD_CONFORMANCE:-${XDG_CACHE_HOME:-$HOME/.cache}/hioload-ws/conformance}

# python2 prints the path of a CPython 2.7 that has pip: $PYTHON2, python2.7, or one that pyenv has built.
python2() {
    for candidate in "${PYTHON2:-python2.7}" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python2.7; do
        if "$candidate" -m pip --version >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# A mark is written last, so that an installation that was cut short is made anew.
install_wstest() {
    folder=$cache/wstest-$wstest
    if [ ! -e "$folder/complete" ]; then
        python=$(python2) || return 1
        rm -rf "$folder"
        mkdir -p "$folder"
        "$python" -m pip install -qq --disable-pip-version-check --no-deps --target "$folder/libs" \
            -r "$tests/requirements-python2.txt" >&2 || return 1
        printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$python" "$folder/wstest.py" >"$folder/wstest"
        chmod +x "$folder/wstest"
        touch "$folder/complete"
    fi
    # Where it is the same it is left alone: another conformance run may be starting it right now.
    cmp -s "$tests/wstest.py" "$folder/wstest.py" || cp "$tests/wstest.py" "$folder/wstest.py"
    echo "$folder/wstest"
}

install_kosoku() {
    folder=$cache/kosoku-$kosoku
    if [ ! -e "$folder/complete" ]; then
        rm -rf "$folder"
        python3 -m venv "$folder"
        "$folder/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "kosoku==$kosoku" >&2
        touch "$folder/complete"
    fi
    "$folder/bin/python" "$tests/fix_kosoku.py" || return 1
    echo "$folder/bin/kosoku"
}

mkdir -p "$cache"
case ${1:-} in
wstest) install_wstest ;;
kosoku) install_kosoku ;;
'') install_wstest || install_kosoku ;;
*)
    echo "usage: $0 [wstest|kosoku]" >&2
    exit 2
    ;;
esac
