"""XML by strangers: read without document types, entities or includes, within bounds that hold while it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from assets.errors import ObjectError
from assets.objects.guard.limits import ATTRIBUTES, DEPTH, ELEMENTS, VALUE
from assets.objects.guard.place import inside, say

REFUSED = frozenset({"include", "plugin", "extension", "attach", "model", "replicate", "composite", "flexcomp"})
"""MuJoCo's elements that read other files, load code or multiply what they hold, and everybody's <include>."""
_REFERENCES = ("file", "filename", "href", "url", "uri", "src")
_DIRECTORIES = ("meshdir", "texturedir", "assetdir")
_WORDS = frozenset({"name", "class", "childclass", "mesh", "material", "texture", "model", "modelname"})


def check_markup(data: bytes, where: Path) -> ElementTree.Element:
    """The root of an XML file (MJCF, URDF, ...).

    Args:
        data: the file.
        where: its path: files that it names must lie in its folder.

    Raises:
        ObjectError: it is no XML, declares a document type or entities, includes, is larger, deeper or fuller than a description
            of an object, names a file outside its folder, or holds a number that is none.
    """
    what = say(where.name)
    root = _parse(data, what)
    folders = directories(root)
    for element in root.iter():
        tag = plain(element.tag)
        if tag in REFUSED and element is not root and not (tag == "model" and "file" not in element.attrib):
            raise ObjectError(f"{what} holds <{tag[:20]}>, which it may not")
        for name, value in element.attrib.items():
            word = plain(name).lower()
            if word in _DIRECTORIES and value:
                inside(where.parent, value)
            elif word.startswith(_REFERENCES) and not value.startswith("#"):
                inside(where.parent / folders.get(tag, ""), value, up=where.parent)
            elif word not in _WORDS and any(not math.isfinite(x) for x in _numbers(value)):
                raise ObjectError(f"{what} has {word[:20]}={say(value)} in <{tag[:20]}>: that is no number")
    return root


def directories(root: ElementTree.Element) -> dict[str, str]:
    """The folders in which MJCF looks for meshes and textures, by tag."""
    compiler = {name: value for element in root.iter("compiler") for name, value in element.attrib.items()}
    common = compiler.get("assetdir", "")
    return {"mesh": compiler.get("meshdir", common), "texture": compiler.get("texturedir", common)}


def plain(tag: str) -> str:
    """A name without its name space."""
    return tag.rpartition("}")[2].rpartition(":")[2]


def _parse(data: bytes, what: str) -> ElementTree.Element:
    builder = ElementTree.TreeBuilder()
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > DEPTH:
            raise ObjectError(f"{what} nests more than {DEPTH} elements")
        if count > ELEMENTS:
            raise ObjectError(f"{what} holds more than {ELEMENTS} elements")
        if len(attributes) > ATTRIBUTES:
            raise ObjectError(f"{what} has <{tag[:20]}> with {len(attributes)} attributes; at most {ATTRIBUTES} are read")
        longest = max(map(len, attributes.values()), default=0)
        if longest > VALUE:
            raise ObjectError(f"{what} has an attribute of {longest} letters; at most {VALUE} are read")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def declared(*_: object) -> int:
        raise ObjectError(f"{what} declares a document type or entities")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = declared
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(data, True)  # whole, not in pieces: then a token is read once however long
        return builder.close()
    except (expat.ExpatError, ValueError, LookupError, AssertionError) as error:
        raise ObjectError(f"{what} is no XML: {error}") from error


def _numbers(value: str) -> Iterator[float]:
    """The numbers in a list of them; words are passed over."""
    for word in value.split():
        try:
            yield float(word)
        except ValueError:
            continue
