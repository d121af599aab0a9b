#!/usr/bin/env bash
# Runs cezanne from this folder: Python 3.12 and torch are the machine's, the rest is here, and no network is asked.
#
#   run.sh cezanne VERB key=value ...       the command line; nothing given: its help
#   run.sh python -m benchmarks.encoder     Python with everything in its path
#   run.sh benchmarks/paper_table.sh        a script of this folder
#
# The first run checks SHA256SUMS and unpacks packages.tar.xz (some 400 MB) into .env here, or where that cannot be written into the user's cache.
# PYTHON=/path/to/python says which Python. The folder may be moved and read-only.
set -euo pipefail
umask 022

here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"
fail() { echo "run.sh: $*" >&2; exit 2; }

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "the packages are for Linux on x86-64; this is $(uname -s) on $(uname -m)"

look='import sys, importlib.util as u
print("%d.%d" % sys.version_info[:2])
print(*["no" if u.find_spec(name) is None else "yes" for name in ("torch", "numpy")])
print(*[name for name in sys.argv[1:] if u.find_spec(name) is None])'
left_out=()
for path in "$here"/absent/*/; do [ -d "$path" ] && left_out+=("$(basename "$path")"); done

python='' others=''
for candidate in ${PYTHON:-python3.12 python3 python}; do
    command -v "$candidate" >/dev/null || { others+=" $candidate: not found;"; continue; }
    seen="$(env -u PYTHONPATH "$candidate" -P -c "$look" "${left_out[@]}" 2>/dev/null)" || { others+=" $candidate does not start;"; continue; }
    { read -r version; read -r torch numpy; read -r missing; } <<<"$seen"$'\n'
    if [ "$version" != 3.12 ]; then others+=" $candidate is Python $version;"
    elif [ "$torch" = no ]; then others+=" $candidate has no torch;"
    elif [ "$numpy" = no ]; then others+=" $candidate has no numpy;"
    else python="$(command -v "$candidate")"; break
    fi
done
[ -n "$python" ] || fail "needs Python 3.12 with torch and numpy:${others%;}. PYTHON=/path/to/python names another"

key="$(sha256sum <"$here/SHA256SUMS" | cut -c1-16)"
env="$here/.env"
if [ "$(cat "$env/key" 2>/dev/null)" != "$key" ]; then
    [ -w "$here" ] || env="${XDG_CACHE_HOME:-$HOME/.cache}/cezanne/bundle-$key"
fi
if [ "$(cat "$env/key" 2>/dev/null)" != "$key" ]; then
    echo "run.sh: first run: checking and unpacking into $env" >&2
    (cd "$here" && sha256sum --check --quiet --strict SHA256SUMS >&2) || fail "the folder is not as it was made (see above); copy it again"
    mkdir -p "$(dirname "$env")"
    part="$(mktemp -d "$env.part.XXXXXX")"
    trap 'rm -rf "$part"' EXIT
    "$python" -c 'import sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    tar.extractall(sys.argv[2], filter="data")' "$here/packages.tar.xz" "$part/site" || fail "packages.tar.xz cannot be unpacked into $part (is the disk full?)"
    mkdir "$part/bin"
    for name in python python3; do
        printf '#!/bin/sh\nexec "$CEZANNE_PYTHON" "$@"\n' >"$part/bin/$name"
    done
    printf '#!/bin/sh\nexec "$CEZANNE_PYTHON" -P -m cezanne "$@"\n' >"$part/bin/cezanne"
    printf '#!/bin/sh\nexec "$CEZANNE_PYTHON" -m torch.distributed.run "$@"\n' >"$part/bin/torchrun"
    printf '#!/bin/sh\nexec "$CEZANNE_PYTHON" -m accelerate.commands.accelerate_cli "$@"\n' >"$part/bin/accelerate"
    chmod 755 "$part" "$part"/bin/*
    echo "$key" >"$part/key"
    if [ -e "$env" ]; then mv "$env" "$part/old"; fi # of another bundle that lay here
    if ! mv -T "$part" "$env" 2>/dev/null; then
        [ "$(cat "$env/key" 2>/dev/null)" = "$key" ] || fail "cannot write $env" # else another run was faster
    fi
    rm -rf "$part" "$env/old"
    trap - EXIT
fi

path="$env/site:$here"
for name in $missing; do path+=":$here/absent/$name"; done
export PYTHONPATH="$path${PYTHONPATH:+:$PYTHONPATH}" PATH="$env/bin:$PATH" CEZANNE_PYTHON="$python" PYTHON="$python"
export HF_HUB_OFFLINE="${HF_HUB_OFFLINE:-1}"
[ $# -gt 0 ] || set -- cezanne --help
if [[ "$1" == */* && ! -e "$1" && -e "$here/$1" ]]; then set -- "$here/$1" "${@:2}"; fi
exec "$@"
