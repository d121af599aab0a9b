"""`python -m deploy.faults` injects every fault and writes the table of docs/safety.md; with names, only those, and writes nothing."""

from __future__ import annotations

import sys


def main(names: list[str]) -> int:
    """The exit code: 1 where a fault did not end as it must."""
    from deploy.faults.matrix import ROWS, absent, run  # here: processes that are spawned read this file again
    from deploy.faults.table import DOCUMENT, table, written

    wrong, results = 0, []
    for fault in ROWS:
        if names and fault.name not in names:
            continue
        if absent(fault):
            print(f"{fault.name}: needs {fault.needs}, which is not installed", file=sys.stderr)
            wrong += 1
            continue
        outcome = run(fault)
        verdict = fault.verdict(outcome)
        wrong += bool(verdict)
        results.append((fault, outcome))
        print(f"{fault.name}: {outcome.code} after {outcome.noticed * 1e3:.0f} ms: {outcome.detail[:120]}", file=sys.stderr, flush=True)
        for line in verdict:
            print(f"  WRONG: {line}", file=sys.stderr, flush=True)
    if not names and not wrong:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), table(results)))
    print(f"{len(results)} faults injected, {wrong} did not end as they must", file=sys.stderr)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
