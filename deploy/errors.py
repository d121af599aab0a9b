"""What the user of the verbs of `deploy` can mend."""


class DeployError(Exception):
    """Something does not fit: refused before a motor is enabled."""
