"""Items that wait for a worker, and which of them suits it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Sequence


class Backlog:
    """The indices of items, by key."""

    def __init__(self, keys: Sequence[Hashable]) -> None:
        """`keys` are those of all items, in order."""
        self._keys = keys
        self._waiting: dict[Hashable, deque[int]] = {}
        for index in range(len(keys)):
            self.put_back(index)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def take(self, last: Hashable, busy: Collection[Hashable]) -> int:
        """The next index for a worker whose last item had the key `last`, where others work on items of the keys `busy`.

        One of the same key, else the first of a key that nobody works on, else the first.
        """
        waiting = self._waiting
        key = last
        if last not in waiting:
            key = min((each for each in waiting if each not in busy), key=lambda each: waiting[each][0], default=None)
            if key is None:
                key = min(waiting, key=lambda each: waiting[each][0])
        index = waiting[key].popleft()
        if not waiting[key]:
            del waiting[key]
        return index

    def put_back(self, index: int) -> None:
        """To be done after the others of its key."""
        self._waiting.setdefault(self._keys[index], deque()).append(index)
