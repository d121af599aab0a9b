"""Composes a verb's config with Hydra, and says in one line what is wrong with an override."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import BooleanNode, DictConfig, EnumNode, FloatNode, IntegerNode, Node, OmegaConf, PathNode, StringNode, ValueNode
from omegaconf.errors import OmegaConfBaseException

from conf import UsageError, nearest

CONF = Path(__file__).resolve().parent
KINDS = {IntegerNode: "a whole number", FloatNode: "a number", BooleanNode: "true or false"}


def compose(verb: str, schema: type, overrides: Sequence[str] = ()) -> DictConfig:
    """The dataclass `schema`, `conf/VERB.yaml` onto it, then the overrides. Raises UsageError."""
    with _composer(verb, schema):
        defaults = hydra.compose(verb)
        checked = [_checked(verb, defaults, override) for override in overrides]
        try:
            cfg = hydra.compose(verb, checked)
        except (HydraException, OmegaConfBaseException) as error:
            raise UsageError(_first_line(error)) from error
    if missing := sorted(str(key) for key in OmegaConf.missing_keys(cfg)):
        raise UsageError(f"{verb} needs {', '.join(f'{key}=...' for key in missing)} (cezanne {verb} --help explains)")
    return cfg


def defaults(verb: str, schema: type) -> DictConfig:
    """What the verb runs with where nothing is said; required keys are missing."""
    with _composer(verb, schema):
        return hydra.compose(verb)


def groups() -> dict[str, tuple[str, ...]]:
    """The choices of each group: the folders of `conf/` and the YAML in them; what lies deeper has a colon, as in `lerobot:act`."""
    found: dict[str, list[str]] = {}
    for path in sorted(CONF.rglob("*.yaml")):
        group, *rest = path.relative_to(CONF).with_suffix("").parts
        if rest:
            found.setdefault(group, []).append(":".join(rest))
    return {group: tuple(choices) for group, choices in found.items()}


def keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every dotted key of a config that takes a value."""
    for name in cfg:
        node = cfg._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing() and not _open(node):
            yield from keys(node, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _open(node: object) -> bool:
    """A table whose keys are the user's: a dict among the fields of a dataclass."""
    return isinstance(node, DictConfig) and node._metadata.object_type in (dict, None)


def flags(verb: str, schema: type) -> list[str]:
    """The keys of a verb that are true or false."""
    cfg = defaults(verb, schema)
    return [key for key in keys(cfg) if isinstance(_node(cfg, key), BooleanNode)]


@contextmanager
def _composer(verb: str, schema: type) -> Iterator[None]:
    ConfigStore.instance().store(name=f"{verb}_schema", node=schema)
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        yield


def _checked(verb: str, cfg: DictConfig, override: str) -> str:
    """The override in Hydra's grammar. Raises UsageError where there is no such key, choice or value."""
    key, sign, value = override.partition("=")
    if not sign:
        raise UsageError(f"cannot read {override!r}: write key=value (cezanne {verb} --help lists the keys)")
    choices = groups().get(key, ())
    known = list(keys(cfg))
    if choices and value not in choices:
        raise UsageError(f"{key} has no choice {value!r}{nearest(value, choices)}; known: {', '.join(choices)}")
    if choices:
        return f"{key}={value.replace(':', '/')}"
    table, _, name = key.rpartition(".")
    if name and table in known and _open(_node(cfg, table)):
        return f"++{table}.{name}={_text(value)}"
    if key not in known:
        known += [group for group in groups() if group in cfg]
        raise UsageError(f"{verb} has no key {key!r}{nearest(key, known)}; known: {', '.join(known)}")
    grammatical = f"{key}={_value(key, value, _node(cfg, key))}"
    try:
        OverridesParser.create().parse_overrides([grammatical])
    except HydraException as error:
        raise UsageError(f"cannot read {override}: lists are written [a,b], text with commas or brackets 'in quotes'") from error
    return grammatical


def _node(cfg: DictConfig, key: str) -> Node | None:
    *parents, name = key.split(".")
    for parent in parents:
        cfg = cfg[parent]
    node = cfg._get_node(name)
    return node if isinstance(node, Node) else None


def _value(key: str, value: str, node: Node | None) -> str:
    if node is not None and value == "null" and node._is_optional():
        return value
    if isinstance(node, EnumNode):
        return _member(key, value, node.enum_type).name
    if isinstance(node, StringNode | PathNode):  # any text and any path, also where Hydra's grammar has another use for its characters
        return _quoted(value)
    for kind, wanted in KINDS.items():
        if isinstance(node, ValueNode) and isinstance(node, kind):
            try:
                node.validate_and_convert(value)
            except (OmegaConfBaseException, ValueError):
                raise UsageError(f"{key}={value}: {key} is {wanted}{_default(node)}") from None
    return value


def _text(value: str) -> str:
    """A number, a truth value, nothing (null) or a list as it is, all else as text."""
    if re.fullmatch(r"[-+0-9.eE]+|true|false|null|\[[-+0-9.,eE ]*\]", value):
        return value
    return _quoted(value)


def _quoted(value: str) -> str:
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value) + "'"


def _default(node: Node) -> str:
    return "" if node._is_missing() else f", by default {plain(node._value())}"


def _member(key: str, value: str, kind: type[enum.Enum]) -> enum.Enum:
    for member in kind:
        if value.lower() in (member.name.lower(), str(member.value).lower()):
            return member
    known = [member.name.lower() for member in kind]
    raise UsageError(f"{key} has no choice {value!r}{nearest(value, known)}; known: {', '.join(known)}")


def plain(value: object) -> str:
    """A value as one would type it."""
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return "[" + ",".join(plain(v) for v in value) + "]"
    return str(value)


def _first_line(error: Exception) -> str:
    """Hydra says what was asked, its cause says why not."""
    said = [str(e).strip().splitlines()[0] for e in (error, error.__cause__) if e is not None and str(e).strip()]
    return ": ".join(dict.fromkeys(said))
