#!/usr/bin/env bash
# Builds the wheel into dist/ and tries it in a fresh environment, away from the source.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$PWD/.venv/bin/uv
rm -rf build dist
"$uv" build --quiet --wheel --build-constraints constraints.txt --python .venv/bin/python --out-dir dist
wheel=$(echo "$PWD"/dist/cezanne-*.whl)
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$uv" venv --quiet --no-project --python .venv/bin/python "$fresh/venv"
"$uv" pip install --quiet --python "$fresh/venv/bin/python" --override overrides.txt --constraints constraints.txt "$wheel"
cd "$fresh"
venv/bin/cezanne --help
venv/bin/cezanne doctor
venv/bin/cezanne toys toys=5 out="$fresh/toys"
echo "dist/$(basename "$wheel") works"
