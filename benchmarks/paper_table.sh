#!/usr/bin/env bash
# The paper's table, ours beside theirs: collects, trains, evaluates, prints. Run it again after any interruption: it goes on where it was.
#
#   benchmarks/paper_table.sh profile=cpu jobs=2              two cores, two hours
#   benchmarks/paper_table.sh profile=gpu minutes=9.5         one H100 and 16 cores; stops by itself in time (exit code 75: run it again)
#
# Several calls may work on one table at once, one on each GPU or each core: a stage that another call is busy with is left to it.
#
# Keys: profile=cpu|gpu  out=runs/paper  seed=0  jobs=1 (stages at once)  minutes=0 (of this call; 0: to the end)
#       document= (a Markdown file for the table)
set -euo pipefail

profile=cpu out= seed=0 jobs=1 minutes=0 document=
for word in "$@"; do
    case "$word" in
        profile=* | out=* | seed=* | jobs=* | minutes=* | document=*) declare "${word%%=*}=${word#*=}" ;;
        *) echo "paper_table.sh: $word is not a key; known: profile, out, seed, jobs, minutes, document" >&2; exit 2 ;;
    esac
done
out="${out:-runs/paper-$profile}"
here="$(cd "$(dirname "$0")/.." && pwd)"
python="${PYTHON:-$([ -x "$here/.venv/bin/python" ] && echo "$here/.venv/bin/python" || command -v python3)}"
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$out/done"

others=()
trap 'kill "${others[@]}" 2>/dev/null || true' INT TERM
for ((k = 1; k < jobs; k++)); do
    "$0" "profile=$profile" "out=$out" "seed=$seed" "minutes=$minutes" >/dev/null &
    others+=($!)
done

deadline=$("$python" -c "import time; print(int(time.time() + 60 * float('$minutes')) if float('$minutes') > 0 else 0)")
plan=$("$python" -m benchmarks.paper_table plan "profile=$profile" "out=$out" "seed=$seed")
total=$(wc -l <<<"$plan") number=0
while IFS=$'\t' read -r name command; do
    number=$((number + 1)) mark="$out/done/$name"
    if [ -e "$mark.command" ] && [ "$(cat "$mark.command")" != "$command" ]; then
        echo "paper_table.sh: $mark.command was another command (${mark}); choose another out=" >&2
        exit 2
    fi
    [ -e "$mark.json" ] && continue
    exec 9>"$mark.lock"
    if [ "$name" = data ]; then
        flock 9  # everything waits for it
    elif ! flock -n 9; then
        continue
    fi
    [ -e "$mark.json" ] && continue  # by another call, just now
    if [ "${name%.eval}" != "$name" ] && [ ! -e "$out/done/${name%.eval}.train.json" ]; then
        continue  # another call is training it
    fi
    left=0
    if [ "$deadline" -gt 0 ]; then
        left=$((deadline - $(date +%s)))
        [ "$left" -gt 10 ] || { echo "== time is up before $name ($number of $total); run it again" >&2; exit 75; }
    fi
    echo "== $number of $total, $name: cezanne $command" >&2
    echo "$command" >"$mark.command"
    status=0
    # shellcheck disable=SC2086  # words of a command
    timeout --signal=INT --kill-after=20 "$left" "$python" -m cezanne $command >"$mark.part" </dev/null || status=$?
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        echo "== time is up during $name ($number of $total); run it again" >&2
        exit 75
    elif [ "$status" -ne 0 ]; then
        echo "paper_table.sh: $name failed (exit code $status): cezanne $command" >&2
        exit "$status"
    fi
    tail -n 1 "$mark.part" >"$mark.last"
    mv "$mark.last" "$mark.json"
    rm "$mark.part"
done <<<"$plan"
exec 9>&-
for other in "${others[@]}"; do wait "$other"; done
"$python" -m benchmarks.paper_table table "profile=$profile" "out=$out" "document=$document"
