"""MuJoCo's compiled modules come without types: for pyright, whatever is asked of them is there."""

from typing import Any

def __getattr__(name: str) -> Any: ...
