"""Prompt families: versions, release list, and rendering.

A version is a file, ``<family>/<version>.md``: front matter and a Jinja template.  Everything that a template
prints, except numbers and its own words, is enclosed in markers that it cannot close, without any action of its
author.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.environment import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import ValidationError

from contracts.errors import Misconfigured
from contracts.policy.prompts import FAMILY, PromptVersion, VariableType
from contracts.policy.quoting import extract_last_quote, quote
from infra.settings import shipped

FOLDER: Final = shipped.PROMPTS
#: File with the hashes of released versions.
RELEASED: Final = "released.json"
#: Rendered prompts in memory, and characters of the longest values that are cached.
RENDERED_MAX: Final = 256
_RENDERED_LENGTH: Final = 16_384
_to_json: Final = json.JSONEncoder(ensure_ascii=False).encode
_FRONT: Final = re.compile(r"---\n(.*?\n)---\n", re.DOTALL)
#: Statements that a template may use; others could print something outside the markers.
_STATEMENTS: Final = (nodes.Output, nodes.If, nodes.For, nodes.Assign)


class PromptError(Misconfigured):
    """A prompt version that cannot be used; the text names the file and the fix."""


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A released version: SHA-256 of the file, and of the prompt with the examples filled in."""

    file: str
    rendered: str


class _Word(str):
    """One of a version's own words: it is printed without markers."""

    __slots__ = ()


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

    def __init__(self, versions: tuple[PromptVersion, ...], templates: Mapping[str, Template]) -> None:
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
        key = (version.id, _to_json(values))
        text = self._rendered.get(key)
        if text is not None:
            return text
        text = _fill(version, self._templates[version.id], values)
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
    environment = _environment()
    versions: list[PromptVersion] = []
    templates: dict[str, Template] = {}
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
            version = _read(path, released)
            if version.id in templates:
                raise PromptError(
                    f"{version.id} is in {where[version.id]} and in {each}; give one of them another family or number"
                )
            templates[version.id] = _compile(path, version, environment)
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


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        # A prompt is no HTML; _printed formats what is printed.
        autoescape=False,
        trim_blocks=True,
        finalize=_printed,
    )
    environment.globals.clear()
    return environment


def _printed(value: Any) -> str:  # noqa: PLR0911 - one case for each type
    """Format a value that a template prints."""
    match value:
        case _Word():
            return str(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return quote(value)
        case list() | tuple():
            return quote("\n".join(f"- {each}" for each in value))
        case dict():
            return quote(_to_json(value))
        case None:
            raise TemplateError("it prints a variable that may be null; put it into {% if … is not none %}")
        case _:
            # An undefined value raises here and names itself.
            return quote(str(value))


def _fill(version: PromptVersion, template: Template, values: Mapping[str, Any]) -> str:
    words = {
        name: _Word(values[name])
        for name, each in version.variables.items()
        if each.type is VariableType.CHOICE and values[name] in each.one_of
    }
    try:
        return template.render(dict(values) | words)
    except (TemplateError, TypeError, ValueError) as error:
        raise PromptError(f"{version.id} cannot be rendered: {error}") from error


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*/*.md"))
    for path in found:
        if not re.fullmatch(FAMILY, path.parent.name) or not re.fullmatch("[1-9][0-9]{0,5}", path.stem):
            raise PromptError(
                f"{_name(path)}: is no <family>/<version>.md; a family is {FAMILY}, a version a number from 1"
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


def _read(path: Path, released: Mapping[str, Release]) -> PromptVersion:
    content = path.read_bytes()
    family, number = path.parent.name, int(path.stem)
    front, source = _parts(path, content)
    for name in front.keys() & {"family", "source", "hash", "released"}:
        raise PromptError(f"{_name(path)}: {name}: is set by Understudy, not by the file; leave it out")
    if front.get("version") != number:
        raise PromptError(f"{_name(path)}: version: is {front.get('version')}; the file name says {number}")
    stated = front | {
        "family": family,
        "source": source,
        "hash": _digest(content),
        "released": f"{family}@{number}" in released,
    }
    try:
        # Through JSON: strict, and lists become tuples.
        return PromptVersion.model_validate_json(json.dumps(stated), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise PromptError(f"{_name(path)}: {where}: {problem}") from None
    except TypeError as error:
        raise PromptError(f"{_name(path)}: front matter: {error}; write it as text in quotes") from None


def _parts(path: Path, content: bytes) -> tuple[dict[str, Any], str]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(f"{_name(path)}: is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    found = _FRONT.match(text)
    if found is None:
        raise PromptError(f"{_name(path)}: does not begin with front matter between two lines of ---")
    try:
        front = yaml.load(found[1], Loader=_YamlLoader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise PromptError(f"{_name(path)}: front matter is not YAML: {error}") from None
    if not isinstance(front, dict):
        raise PromptError(f"{_name(path)}: front matter: must be fields, such as kind: layout")
    return front, text[found.end() :]


def _compile(path: Path, version: PromptVersion, environment: ImmutableSandboxedEnvironment) -> Template:
    name = _name(path)
    try:
        tree = environment.parse(version.source)
        template = environment.from_string(version.source)
    except TemplateSyntaxError as error:
        front = len(path.read_text(encoding="utf-8").splitlines()) - len(version.source.splitlines())
        raise PromptError(f"{name}: line {error.lineno + front}: {error.message}") from None
    for statement in tree.find_all(nodes.Stmt):
        if not isinstance(statement, _STATEMENTS):
            what = type(statement).__name__
            raise PromptError(
                f"{name}: {what} is not allowed in prompts; use only if, for, set and {{{{ … }}}}"
            )
    used, declared = meta.find_undeclared_variables(tree), set(version.variables)
    for variable in sorted(used - declared):
        raise PromptError(f"{name}: uses {variable!r}, which its variables do not declare")
    for variable in sorted(declared - used):
        raise PromptError(f"{name}: declares {variable!r} and does not use it; leave it out")
    return template


def _try(path: Path, version: PromptVersion, template: Template, release: Release | None) -> None:
    """Render the examples: check that it works, keeps the guardrails, and equals the released prompt."""
    name = _name(path)
    for values in (version.values(full=False), version.values()):
        text = _fill(version, template, values)
        for sentence in version.guardrails:
            if sentence not in text:
                raise PromptError(f"{name}: guardrails: {sentence!r} is missing from the prompt")
        if not extract_last_quote(text).startswith(values["wish"]):
            raise PromptError(f"{name}: the last block must begin with the wish")
    if release is None:
        return
    if release.file != version.hash:
        raise PromptError(
            f"{name} has changed since {version.id} was released, and a released version never changes: "
            f"put the file back and write the new text to {version.family}/{version.version + 1}.md"
        )
    if release.rendered != _digest(text.encode()):
        raise PromptError(
            f"{version.id} renders differently than when it was released, although {name} is the same: "
            "the change is in infra/stores/prompts.py, contracts/policy/quoting.py or Jinja; undo it"
        )


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
