"""Encoder and pooling, policy network, training, checkpoint."""

from typing import TYPE_CHECKING, Any

from policies.errors import PolicyError

if TYPE_CHECKING:
    from policies.model_policy import load_policy

__all__ = ["PolicyError", "load_policy"]


def __getattr__(name: str) -> Any:
    if name == "load_policy":  # torch takes seconds to import, and `cezanne --help` should not
        from policies.model_policy import load_policy

        return load_policy
    raise AttributeError(f"module 'policies' has no attribute {name!r}")
