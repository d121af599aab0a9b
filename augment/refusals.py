"""What augmentations refused: a file for each shard of the new data set that lacks something, so that nothing is counted twice or lost."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from augment.errors import AugmentError


@dataclass(frozen=True)
class Refusal:
    """One copy that is not there."""

    shard: str
    """Of the source."""
    episode: int
    """In its shard."""
    copy: int
    reason: str


class Refusals:
    """Those of one data set, in its folder `left_out`."""

    def __init__(self, dataset: Path) -> None:
        self.folder = dataset / "left_out"

    def write(self, name: str, refused: Sequence[Refusal]) -> None:
        """Notes what is missing of a shard; writing again replaces. Nothing is written where nothing is missing."""
        if not refused:
            return
        self.folder.mkdir(exist_ok=True)
        part = self.folder / f".part-{secrets.token_hex(4)}"
        part.write_text(json.dumps([asdict(refusal) for refusal in refused], indent=1), encoding="utf-8")
        os.replace(part, self.folder / f"{name}.json")

    def read(self) -> list[Refusal]:
        """All of them, in the order of the shards. Raises AugmentError for a file that holds something else."""
        found = []
        for file in sorted(self.folder.glob("[!.]*.json")):
            try:
                found += [Refusal(**raw) for raw in json.loads(file.read_text(encoding="utf-8"))]
            except (OSError, ValueError, TypeError) as error:
                raise AugmentError(f"{file} does not say what was left out ({error}); delete it, and the shard of its name") from error
        return found

    def count(self) -> dict[str, int]:
        """How many by reason, the commonest first; reasons are shortened, and numbers in them are #, so that alike ones are one."""
        return dict(Counter(_shortened(refusal.reason) for refusal in self.read()).most_common())


def _shortened(reason: str) -> str:
    said = re.sub(r"(?<![\w.])-?\d+(\.\d+)?", "#", " ".join(reason.split()))
    return said if len(said) <= 120 else f"{said[:119]}\N{HORIZONTAL ELLIPSIS}"
