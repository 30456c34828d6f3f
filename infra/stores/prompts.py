"""Prompt families: versions, release list, and rendering.

A version is a file, ``<family>/<version>.md`` or ``<family>/<version>.poml``: front matter, and a template in Jinja
or a document in POML.  Everything that it prints, except numbers and its own words, is enclosed in markers that it
cannot close, without any action of its author.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import yaml
from pydantic import ValidationError

from contracts.policy.prompts import FAMILY, PromptVersion
from contracts.policy.quoting import extract_last_quote
from infra.settings import shipped
from infra.stores.jinja_prompts import JinjaPrompt
from infra.stores.poml_prompts import PomlPrompt
from infra.stores.prompt_values import PromptError, to_json

__all__ = [
    "FOLDER",
    "RELEASED",
    "RENDERED_MAX",
    "CompiledPrompt",
    "PromptError",
    "PromptStore",
    "Release",
    "load",
    "release_of",
]

FOLDER: Final = shipped.PROMPTS
#: File with the hashes of released versions.
RELEASED: Final = "released.json"
#: Rendered prompts in memory, and characters of the longest values that are cached.
RENDERED_MAX: Final = 256
_RENDERED_LENGTH: Final = 16_384
#: Front matter of a file by its ending, and how it is marked.
_FRONT: Final = {
    ".md": (re.compile(r"---\n(.*?\n)---\n", re.DOTALL), "between two lines of ---"),
    ".poml": (re.compile(r"<!--\n(.*?\n)-->\n", re.DOTALL), "between a line of <!-- and one of -->"),
}


class CompiledPrompt(Protocol):
    """A template or document, ready to be filled in."""

    #: Names that it reads.
    names: frozenset[str]
    #: Texts of the files that it includes, by their names.
    included: Mapping[str, str]

    def check(self, version: PromptVersion) -> None:
        """Check it against the version's variables.

        Raises:
            PromptError: a variable cannot be used as it is.
        """
        ...

    def fill(self, version: PromptVersion, values: Mapping[str, Any]) -> str:
        """Render it.

        Raises:
            PromptError: it cannot work with these values.
        """
        ...


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A released version: SHA-256 of the file, and of the prompt with the examples filled in."""

    file: str
    rendered: str


class _YamlLoader(yaml.SafeLoader):
    """YAML in which a duplicate key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's
        """As in PyYAML, where the last one of duplicate keys wins."""
        names = [key.value for key, _ in node.value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"{twice!r} is given twice")
        return super().construct_mapping(node, deep)


class PromptStore:
    """The families of some folders, compiled; implements :class:`contracts.ports.Prompts`."""

    def __init__(self, versions: tuple[PromptVersion, ...], templates: Mapping[str, CompiledPrompt]) -> None:
        self._versions = versions
        self._templates = templates
        self._rendered: OrderedDict[tuple[str, str], str] = OrderedDict()

    def families(self) -> tuple[str, ...]:
        """Names of all families, sorted."""
        return tuple(sorted({each.family for each in self._versions}))

    def versions(self, family: str) -> tuple[PromptVersion, ...]:
        """The versions of a family, oldest first; empty if there is no such family."""
        return tuple(each for each in self._versions if each.family == family)

    def render(self, version: PromptVersion, values: Mapping[str, Any]) -> str:
        """Render the prompt, or take it from memory if it was rendered lately.

        Args:
            version: one of :meth:`versions`.
            values: of every variable that it declares.

        Raises:
            PromptError: the template cannot work with these values.
        """
        key = (version.id, to_json(values))
        text = self._rendered.get(key)
        if text is not None:
            return text
        text = self._templates[version.id].fill(version, values)
        if len(key[1]) <= _RENDERED_LENGTH:
            while len(self._rendered) >= RENDERED_MAX:
                self._rendered.popitem(last=False)
            self._rendered[key] = text
        return text


def load(folder: Path = FOLDER, *more: Path) -> PromptStore:
    """Read, compile and try every version.

    Args:
        folder: the shipped families.
        more: folders with further families or versions, each with its own ``released.json``.

    Raises:
        PromptError: a version cannot be used, a released one has changed, two folders have the same one, or a
            folder has none.
    """
    versions: list[PromptVersion] = []
    templates: dict[str, CompiledPrompt] = {}
    where: dict[str, Path] = {}
    for each in (folder, *more):
        released = _released(each)
        files = _files(each)
        if not files:
            hint = (
                "install Understudy again" if each == FOLDER else "add <family>/<version>.md, docs/prompts.md"
            )
            raise PromptError(f"no prompt families in {each}; {hint}")
        for path in files:
            version, template = _read(path, released)
            if version.id in templates:
                first = where[version.id]
                both = f"{first} and in {each}" if first != each else f"{each} as .md and as .poml"
                raise PromptError(f"{version.id} is in {both}; give one of them another family or number")
            templates[version.id] = template
            where[version.id] = each
            _try(path, version, templates[version.id], released.get(version.id))
            versions.append(version)
        for name in released:
            if where.get(name) != each:
                raise PromptError(f"{name} was released, but its file is missing from {each}; put it back")
    return PromptStore(tuple(sorted(versions, key=lambda each: (each.family, each.version))), templates)


def release_of(version: PromptVersion, store: PromptStore) -> Release:
    """Make a version's entry for ``released.json``."""
    return Release(file=version.hash, rendered=_digest(store.render(version, version.values()).encode()))


def _files(folder: Path) -> list[Path]:
    found = sorted(path for ending in _FRONT for path in folder.glob(f"*/*{ending}"))
    for path in found:
        if not re.fullmatch(FAMILY, path.parent.name) or not re.fullmatch("[1-9][0-9]{0,5}", path.stem):
            included = "; a file to include goes into a folder of the family" * (path.suffix == ".poml")
            raise PromptError(
                f"{_name(path)}: is no <family>/<version>{path.suffix}; a family is {FAMILY}, a version a number "
                f"from 1{included}"
            )
    return found


def _released(folder: Path) -> dict[str, Release]:
    path = folder / RELEASED
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Release])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise PromptError(f"{path}: cannot be read: {error}") from None


def _read(path: Path, released: Mapping[str, Release]) -> tuple[PromptVersion, CompiledPrompt]:
    content = path.read_bytes()
    family, number = path.parent.name, int(path.stem)
    front, source, first_line = _parts(path, content)
    template = (
        JinjaPrompt(_name(path), source, first_line)
        if path.suffix == ".md"
        else PomlPrompt(_name(path), source, first_line, path.parent.parent)
    )
    for name in front.keys() & {"family", "source", "hash", "released"}:
        raise PromptError(f"{_name(path)}: {name}: is set by Understudy, not by the file; leave it out")
    if front.get("version") != number:
        raise PromptError(f"{_name(path)}: version: is {front.get('version')}; the file name says {number}")
    stated = front | {
        "family": family,
        "source": source,
        "hash": _digest(content + _together(template.included)),
        "released": f"{family}@{number}" in released,
    }
    try:
        # Through JSON: strict, and lists become tuples.
        version = PromptVersion.model_validate_json(json.dumps(stated), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise PromptError(f"{_name(path)}: {where}: {problem}") from None
    except TypeError as error:
        raise PromptError(f"{_name(path)}: front matter: {error}; write it as text in quotes") from None
    _check_names(_name(path), template.names, set(version.variables))
    template.check(version)
    return version, template


def _check_names(name: str, used: frozenset[str], declared: set[str]) -> None:
    for variable in sorted(used - declared):
        raise PromptError(f"{name}: uses {variable!r}, which its variables do not declare")
    for variable in sorted(declared - used):
        raise PromptError(f"{name}: declares {variable!r} and does not use it; leave it out")


def _together(included: Mapping[str, str]) -> bytes:
    """Names and texts of included files, which are part of the version."""
    return "".join(f"\0{name}\0{text}" for name, text in sorted(included.items())).encode()


def _parts(path: Path, content: bytes) -> tuple[dict[str, Any], str, int]:
    """Front matter, text, and the line that the text begins at."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(f"{_name(path)}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    front_matter, marks = _FRONT[path.suffix]
    found = front_matter.match(text)
    if found is None:
        raise PromptError(f"{_name(path)}: does not begin with front matter {marks}")
    try:
        front = yaml.load(found[1], Loader=_YamlLoader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise PromptError(f"{_name(path)}: front matter is not YAML: {error}") from None
    if not isinstance(front, dict):
        raise PromptError(f"{_name(path)}: front matter: must be fields, such as kind: layout")
    return front, text[found.end() :], 1 + found[0].count("\n")


def _try(path: Path, version: PromptVersion, template: CompiledPrompt, release: Release | None) -> None:
    """Render the examples: check that it works, keeps the guardrails, and equals the released prompt."""
    name = _name(path)
    for values in (version.values(full=False), version.values()):
        text = template.fill(version, values)
        for sentence in version.guardrails:
            if sentence not in text:
                raise PromptError(f"{name}: guardrails: {sentence!r} is missing from the prompt")
        if not extract_last_quote(text).startswith(values["wish"]):
            raise PromptError(f"{name}: the last block must begin with the wish")
    if release is None:
        return
    if release.file != version.hash:
        raise PromptError(
            f"{name}{' or a file in it' * bool(template.included)} has changed since {version.id} was released, and a "
            f"released version never changes: put the file back and write the new text to "
            f"{version.family}/{version.version + 1}{path.suffix}"
        )
    if release.rendered != _digest(text.encode()):
        raise PromptError(
            f"{version.id} renders differently than when it was released, although {name} is the same: "
            "the change is in infra/stores, contracts/policy/quoting.py, contracts/poml or Jinja; undo it"
        )


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
