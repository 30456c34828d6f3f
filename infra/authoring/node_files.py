"""Node files: their nodes, and the position of each field.

JSON or YAML; one node, or a list of nodes.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import msgspec
import yaml

from contracts.nodes.field_aliases import Path, format_path
from contracts.nodes.validation import Facts, Finding, Report, Severity, validate
from contracts.nodes.wording import format_value
from contracts.ports import Templates

#: Largest file, bytes.
MAX_SIZE: Final = 1024 * 1024
#: Levels below a node whose positions are stored; a node has three.
_LEVELS: Final = 6
#: Maximum number of positions stored per file; only YAML aliases cause more.
_MOST_PLACES: Final = 50_000


class TextPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position in a text; both numbers count from 1."""

    line: int = 1
    column: int = 1


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a file, with positions."""

    nodes: tuple[Any, ...]
    #: The file holds a list; paths begin with the node's place in it.
    listed: bool = False
    #: Positions of values, by their dotted path as in findings.
    places: Mapping[str, TextPosition] = {}

    def place(self, path: str) -> TextPosition:
        """The position of a path; for a missing value, that of its parent."""
        while path not in self.places and path:
            path = path.rpartition(".")[0]
        return self.places.get(path, TextPosition())


class UnparsableFile(ValueError):  # noqa: N818 - names the state of the text
    """A text that cannot be read as nodes.

    Args:
        code: of the finding.
        message: the fault.
        place: its position.
        suggestion: the correction.
    """

    def __init__(self, code: str, message: str, place: TextPosition, suggestion: str) -> None:
        super().__init__(f"line {place.line}, column {place.column}: {message}")
        self.place = place
        self.finding = Finding(
            code=code, severity=Severity.ERROR, path="", message=str(self), suggestion=suggestion
        )

    @property
    def report(self) -> Report:
        """The fault as the only finding."""
        return Report(errors=(self.finding,))


class FileCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A check of a file before its nodes are checked."""

    code: str
    title: str
    why: str
    failing: str
    passing: str


_SOUND: Final = (
    "generationType: dialogue\npurpose: adaptive\nstrategy: per_player\nfallback:\n  mode: golden_sample\n"
)
_SAME: Final = "FIL004"
CHECKS: Final = (
    FileCheck(
        code="FIL001",
        title="neither JSON nor YAML",
        why="Nothing can be read; the message names line and column.",
        failing='{"generationType": "dialogue",}\n',
        passing='{"generationType": "dialogue", "purpose": "adaptive", "strategy": "per_player"}\n',
    ),
    FileCheck(
        code="FIL002",
        title="field given twice",
        why="Readers keep one of the two, and readers differ in which.",
        failing=_SOUND + "purpose: ambient\n",
        passing=_SOUND,
    ),
    FileCheck(
        code="FIL003",
        title="no node in the file",
        why="An empty file or list says nothing, which is rarely meant.",
        failing="[]\n",
        passing=_SOUND,
    ),
    FileCheck(
        code=_SAME,
        title="one id for two nodes of a list",
        why="Results, budgets and statistics are recorded by node id: two nodes would share them.",
        failing="- {id: n1, generationType: plot}\n- {id: n1, generationType: scene}\n",
        passing="- {id: n1, generationType: plot}\n- {id: n2, generationType: scene}\n",
    ),
)


def read(text: str, language: Literal["json", "yaml"] | None = None) -> Source:
    """The nodes of a file's text.

    Args:
        text: JSON or YAML.
        language: from the file's name; ``None``: a text that begins like JSON is JSON.

    Raises:
        UnparsableFile: with the position of the fault.
    """
    text = text.removeprefix("\ufeff")
    if language is None:
        language = "json" if text.lstrip()[:1] in ("{", "[") else "yaml"
    value, places = _json(text) if language == "json" else _yaml(text)
    if value is None or value == []:
        raise UnparsableFile(
            "FIL003", "there is no node in the file", TextPosition(), "write one, or a list of them"
        )
    listed = isinstance(value, list)
    nodes = tuple(cast("list[Any]", value)) if listed else (value,)
    return Source(nodes=nodes, listed=listed, places=places)


def examine(source: Source, facts: Facts, templates: Templates | None = None) -> Report:
    """Check every node of a file; paths begin with the node's place where there is a list of them.

    Args:
        source: the file.
        facts: facts from outside the node.
        templates: the library, for nodes with a template; none: unknown here.
    """
    reports = [validate(node, template=find_template(node, templates), facts=facts) for node in source.nodes]
    found: dict[Severity, list[Finding]] = {severity: [] for severity in Severity}
    for index, report in enumerate(reports):
        for each in report.findings:
            path = (
                format_path([str(index), *([each.path] if each.path else [])]) if source.listed else each.path
            )
            found[each.severity].append(msgspec.structs.replace(each, path=path))
    found[Severity.ERROR] += _same_ids(source)
    return Report(
        errors=tuple(found[Severity.ERROR]),
        warnings=tuple(found[Severity.WARNING]),
        suggestions=tuple(found[Severity.SUGGESTION]),
        unchecked=reports[0].unchecked,
    )


def _same_ids(source: Source) -> list[Finding]:
    first: dict[str, int] = {}
    found: list[Finding] = []
    for index, node in enumerate(source.nodes):
        named: Any = cast("dict[str, Any]", node).get("id") if isinstance(node, dict) else None
        if isinstance(named, str) and first.setdefault(named, index) != index:
            found.append(
                Finding(
                    code=_SAME,
                    severity=Severity.ERROR,
                    path=format_path([str(index), "id"]),
                    message=f"{format_value(named)} is the id of node {first[named]} too",
                    suggestion="give each node its own id",
                )
            )
    return found


def find_template(node: Any, templates: Templates | None) -> Mapping[str, Any] | None:
    """The template that a node names; ``None``: it names none, or one that is unknown.

    Args:
        node: any JSON value.
        templates: the library; none: unknown here.
    """
    if templates is None or not isinstance(node, dict):
        return None
    fields = cast("dict[str, Any]", node)
    named = fields.get("templateId", fields.get("template_id"))
    return templates.find(named) if isinstance(named, str) else None


def _json(text: str) -> tuple[Any, dict[str, TextPosition]]:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = TextPosition(line=error.lineno, column=error.colno)
        raise UnparsableFile("FIL001", f"invalid JSON: {error.msg}", place, "fix it there") from None
    except (ValueError, RecursionError) as error:
        message = f"this is not JSON that can be read: {_unreadable(error)}"
        raise UnparsableFile("FIL001", message, TextPosition(), "fix it") from None
    places: dict[str, TextPosition] = {}
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    _walk(text, _space(text, 0), (), places, starts)
    return value, places


def _unreadable(error: Exception) -> str:
    """The message for a text that exceeds limits of Python's parser."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a number has too many digits" if "integer string conversion" in str(error) else str(error)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _walk(text: str, at: int, path: Path, places: dict[str, TextPosition], starts: list[int]) -> int:
    """Record the positions of a value of a valid JSON text and its parts; return its end."""
    places.setdefault(format_path(map(str, path)), _at(at, starts))
    if text[at] not in "{[" or len(path) > _LEVELS:
        return _scan(text, at)[1]
    closing, names, index = "}" if text[at] == "{" else "]", set[str](), 0
    at = _space(text, at + 1)
    while text[at] != closing:
        part: str | int = index
        if closing == "}":
            start = at
            part, at = _scan(text, at)
            if part in names:
                raise _twice(str(part), _at(start, starts))
            names.add(str(part))
            # The position of a field is that of its name.
            places.setdefault(format_path(map(str, (*path, part))), _at(start, starts))
            at = _space(text, _space(text, at) + 1)
        at = _space(text, _walk(text, at, (*path, part), places, starts))
        index += 1
        if text[at] == ",":
            at = _space(text, at + 1)
    return at + 1


#: The same as ``json.loads``, for one value in the middle of a text.
_scan: Final[Any] = cast("Any", json.JSONDecoder()).scan_once
_SPACE: Final = re.compile(r"[ \t\n\r]*")


def _twice(name: str, place: TextPosition) -> UnparsableFile:
    return UnparsableFile("FIL002", f"the field {name!r} is given twice", place, "keep one of the two")


def _space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _at(offset: int, starts: list[int]) -> TextPosition:
    line = bisect_right(starts, offset)
    return TextPosition(line=line, column=offset - starts[line - 1] + 1)


class _Loader(yaml.SafeLoader):
    """YAML with JSON's types: a date is a text."""

    yaml_implicit_resolvers: Final = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _yaml(text: str) -> tuple[Any, dict[str, TextPosition]]:
    places: dict[str, TextPosition] = {}
    try:
        # The constructor scans the whole text: characters that YAML forbids raise here.
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None, places
        _note(root, (), places)
        return loader.construct_document(root), places
    except UnparsableFile:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _no_yaml(str(error.problem or error.context), _of(mark) if mark else TextPosition()) from None
    except yaml.reader.ReaderError as error:
        read = text[: error.position]
        place = TextPosition(line=read.count("\n") + 1, column=error.position - (read.rfind("\n") + 1) + 1)
        raise _no_yaml(f"{error.reason}: {text[error.position]!a}", place) from None
    except (ValueError, RecursionError) as error:
        raise _no_yaml(_unreadable(error), TextPosition()) from None


def _no_yaml(message: str, place: TextPosition) -> UnparsableFile:
    return UnparsableFile("FIL001", f"this is not YAML: {message}", place, "fix it there")


def _of(mark: Any) -> TextPosition:
    return TextPosition(line=mark.line + 1, column=mark.column + 1)


def _note(node: yaml.Node, path: Path, places: dict[str, TextPosition]) -> None:
    """Record the positions of a value and its parts."""
    places.setdefault(format_path(map(str, path)), _of(node.start_mark))
    if len(places) > _MOST_PLACES:
        raise _no_yaml("it has too many values", _of(node.start_mark))
    if len(path) > _LEVELS:
        return
    match node:
        case yaml.MappingNode():
            names: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                if not isinstance(key, yaml.ScalarNode):
                    raise _no_yaml("a field's name must be a text", _of(key.start_mark))
                if name in names:
                    raise _twice(name, _of(key.start_mark))
                names.add(name)
                places.setdefault(format_path(map(str, (*path, name))), _of(key.start_mark))
                _note(value, (*path, name), places)
        case yaml.SequenceNode():
            for index, value in enumerate(node.value):
                _note(value, (*path, index), places)
        case _:
            return
