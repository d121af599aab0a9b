"""What can go wrong with episodes."""


class EpisodeError(Exception):
    """An episode is not what it must be, or cannot be shown as asked."""


class StoreError(EpisodeError):
    """A dataset cannot be written or read: another format, another contract, a broken shard, a full disk."""
