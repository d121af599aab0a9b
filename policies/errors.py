"""The room's root error."""


class PolicyError(Exception):
    """A policy, its checkpoint or its training cannot be what was asked for."""
