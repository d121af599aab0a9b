"""What can go wrong while data is widened or judged."""


class AugmentError(Exception):
    """An augmentation, a mixture or a diagnosis cannot be made as asked."""
