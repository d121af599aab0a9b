"""The person in front of the arm."""

from __future__ import annotations

import sys

from deploy.errors import DeployError


def ask(question: str) -> str:
    """What they type, one line. Raises DeployError where nobody can: an arm does not go on by itself."""
    try:
        return input(f"{question}: ")
    except EOFError:
        raise DeployError("nobody answers: the input is closed; start it from a terminal, or say --yes") from None


def say(text: str) -> None:
    """One line for them; results alone go to stdout."""
    print(f"== {text}", file=sys.stderr, flush=True)
