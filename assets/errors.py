"""What can go wrong with things that are grasped."""


class AssetError(Exception):
    """A toy or an object cannot be had as asked."""


class ToyError(AssetError):
    """A toy, a recipe for toys or a file of toys is impossible."""


class ObjectError(AssetError):
    """An object or a set of objects cannot be read."""
