"""The matrix as a table of docs/safety.md, between two marker lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploy.errors import DeployError
from deploy.faults.fault import End, Fault, Outcome
from hardware.reason import Reason

DOCUMENT = Path(__file__).parents[2] / "docs" / "safety.md"
BEGIN, END = "<!-- made by `python -m deploy.faults`: begin -->", "<!-- made by `python -m deploy.faults`: end -->"
_HEAD = (
    "| fault | what is broken | injected into | expected | measured | noticed [ms] | at rest [ms] |",
    "|---|---|---|---|---|---:|---:|",
)


def table(results: Sequence[tuple[Fault, Outcome]]) -> str:
    """The table, one row a fault."""
    return "\n".join([*_HEAD, *(_row(fault, outcome) for fault, outcome in results)])


def written(text: str, rows: str) -> str:
    """A document with another table in the place of its own. Raises DeployError where the markers are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DeployError(f"{DOCUMENT.name} has no place for the table; it belongs between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{rows}\n{END}{after}"


def cells(text: str) -> list[list[str]]:
    """The cells of a document's table, without its head. Raises DeployError."""
    inside = text.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    if tuple(inside[:2]) != _HEAD:
        raise DeployError(f"{DOCUMENT.name} holds another table than `python -m deploy.faults` makes; run it")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in inside[2:]]


def _row(fault: Fault, outcome: Outcome) -> str:
    noticed, rested = f"{outcome.noticed * 1e3:.0f}", f"{outcome.rested * 1e3:.0f}"
    if outcome.code is End.GOES_ON:
        noticed = rested = ""
    elif outcome.code is End.REFUSED:
        rested = ""
    elif not isinstance(outcome.code, Reason):
        noticed = ""
    return f"| {fault.name} | {fault.breaks} | {fault.where} | `{fault.expected}` | `{outcome.code}` | {noticed} | {rested} |"
