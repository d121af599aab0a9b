"""The help of a verb, read from its dataclass: every key with its default and the docstring below it."""

from __future__ import annotations

import ast
import dataclasses
import enum
import inspect
import textwrap
from types import NoneType
from typing import get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf

from conf.compose import defaults, groups, keys, plain


def describe(verb: str, schema: type) -> str:
    """The keys and groups that a verb takes, one a paragraph."""
    cfg = defaults(verb, schema)
    rows = [(f"{key}={_default(cfg, key)}", _meaning(schema, key.split("."))) for key in keys(cfg)]
    text = "Keys, with their defaults:\n" + _table(rows)
    taken = {group: choices for group, choices in groups().items() if OmegaConf.select(cfg, group.replace("/", ".")) is not None}
    if taken:
        text += "\n\nGroups, each sets several keys at once (GROUP=CHOICE):\n" + _table([(g, ", ".join(c)) for g, c in taken.items()])
    return text


def docstrings(schema: type) -> dict[str, str]:
    """The string below each field of a dataclass, its bases included."""
    found: dict[str, str] = {}
    for base in reversed(schema.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError):  # made at run time
            continue
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    found[name] = " ".join(said.split())
    return found


def _default(cfg: DictConfig, key: str) -> str:
    if OmegaConf.is_missing(cfg, key):
        return "..."
    *parents, name = key.split(".")
    for parent in parents:
        cfg = cfg[parent]
    value = cfg[name]
    return plain(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _meaning(schema: type, path: list[str]) -> str:
    name, *rest = path
    if rest and (inner := _dataclass(get_type_hints(schema).get(name))):
        return _meaning(inner, rest)
    said = docstrings(schema).get(name, "")
    if kind := _member(get_type_hints(schema).get(name), enum.Enum):
        said = f"{said} One of {', '.join(plain(choice) for choice in kind)}.".strip()
    return f"required: {said}" if _required(schema, name) else said


def _required(schema: type, name: str) -> bool:
    return any(f.name == name and f.default == "???" for f in dataclasses.fields(schema))


def _dataclass(hint: object) -> type | None:
    kind = _member(hint, object)
    return kind if kind is not None and dataclasses.is_dataclass(kind) else None


def _member[T](hint: object, base: type[T]) -> type[T] | None:
    """The class in an annotation such as `X | None`, where it derives from `base`."""
    kinds = [kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and kind is not NoneType]
    return next((kind for kind in kinds if issubclass(kind, base)), None)


def _table(rows: list[tuple[str, str]]) -> str:
    width = min(max((len(left) for left, _ in rows), default=0), 32)
    lines = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, 110 - width) or [""]
        if len(left) > width:
            lines.append(f"  {left}")
            left = ""
        lines += [f"  {left if i == 0 else '':{width}}  {part}".rstrip() for i, part in enumerate(wrapped)]
    return "\n".join(lines)
