"""What can go wrong when policies are judged."""


class EvalError(Exception):
    """An evaluation cannot be run as asked, or would not be honest."""
