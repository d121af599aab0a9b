#!/usr/bin/env bash
# Makes or updates .venv. Needs Python 3.12 (python3.12 or python3 on the path, pyenv's, or uv's) and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

is_312() { "$@" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1; }

find_python() {  # prints the path of a working Python 3.12
    local candidate
    for candidate in python3.12 python3 python; do
        if is_312 "$candidate"; then command -v "$candidate"; return; fi
    done
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python3.12; do
        if [ -x "$candidate" ] && is_312 "$candidate"; then echo "$candidate"; return; fi
    done
    if command -v uv >/dev/null; then
        candidate=$(uv python find --no-project 3.12 2>/dev/null) && is_312 "$candidate" && echo "$candidate" && return
    fi
    return 1
}

if ! is_312 .venv/bin/python; then
    rm -rf .venv
    if python=$(find_python) && "$python" -m venv .venv >/dev/null 2>&1; then
        :
    elif command -v uv >/dev/null && uv venv --quiet --no-project --seed --clear --python 3.12 .venv; then  # fetches Python where there is none
        :
    elif [ -n "${python:-}" ]; then
        rm -rf .venv
        echo "make setup: $python cannot make virtual environments; install its venv module (Debian, Ubuntu: apt install python3.12-venv), or uv" >&2
        exit 1
    else
        echo "make setup: no Python 3.12 found; install it (Debian, Ubuntu: apt install python3.12 python3.12-venv; or: pyenv install 3.12; or: uv python install 3.12)" >&2
        exit 1
    fi
fi

if [ ! -x .venv/bin/uv ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
fi
.venv/bin/uv pip install --quiet --python .venv/bin/python --override overrides.txt --constraints constraints.txt \
    --build-constraints constraints.txt --reinstall-package cezanne --editable '.[dev]'

# opencv-python and opencv-python-headless both bring cv2/, and whichever comes last wins: the headless one needs no system libraries.
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --constraints constraints.txt --reinstall-package opencv-python-headless \
    opencv-python-headless
