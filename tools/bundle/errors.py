"""What can go wrong."""


class BundleError(Exception):
    """The bundle cannot be made, or is too large."""
