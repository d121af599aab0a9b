"""From words on the command line to a typed config: VERB.yaml per verb, folders of choices, and what reads them."""

import difflib
from collections.abc import Sequence


class UsageError(Exception):
    """The command line asks for something that does not exist."""


def nearest(word: str, known: Sequence[str]) -> str:
    """A suggestion to append to an error, or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
