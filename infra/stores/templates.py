"""Node templates: loading and checking.

A template is a node in a file ``<id>.json``: complete together with the defaults, and without errors.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from contracts.errors import Misconfigured
from contracts.nodes import validation
from contracts.nodes.field_aliases import resolve_aliases
from contracts.nodes.node import Node
from contracts.nodes.validation import Facts, Finding, Report
from infra.authoring import node_files
from infra.authoring.node_files import TextPosition, UnparsableFile
from infra.settings import shipped

FOLDER: Final = shipped.TEMPLATES
#: Largest template, bytes.
MAX_SIZE: Final = 64 * 1024


class TemplateError(Misconfigured):
    """A template that cannot be used; the text names the file, the place and the fix."""


class CheckedTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """One file, and the findings in it."""

    file: str
    #: The template's id, which is the file's name; its findings are in ``report``.
    id: str
    ok: bool
    #: As the author wrote it; ``None`` if the file is no template at all.
    template: Mapping[str, Any] | None = None
    report: Report = Report()
    #: Line and column of each finding.
    places: tuple[TextPosition, ...] = ()

    @property
    def error(self) -> str:
        """The first error, with its place."""
        place, finding = next(zip(self.places, self.report.findings, strict=True))
        return f"{self.file}: line {place.line}, column {place.column}: {finding}"


class TemplateStore:
    """The templates of a folder as read at the start; implements :class:`contracts.ports.Templates`.

    Args:
        templates: fields in snake_case, by id.
        folder: where their files are; a template whose file is removed later is lost.
        broken: why others cannot be used, by id.
    """

    def __init__(
        self,
        templates: Mapping[str, Mapping[str, Any]],
        *,
        folder: Path = FOLDER,
        broken: Mapping[str, str] | None = None,
    ) -> None:
        self._templates = templates
        self._folder = folder
        self._broken = broken or {}

    def ids(self) -> tuple[str, ...]:
        """Ids of all templates, sorted."""
        return tuple(sorted(self._templates))

    def find(self, template_id: str) -> Mapping[str, Any] | None:
        """A template's fields in snake_case; ``None``: there is none, or it is lost."""
        return None if self.lost(template_id) else self._templates.get(template_id)

    def lost(self, template_id: str) -> str | None:
        """Why an existing template cannot be used; ``None`` otherwise."""
        if template_id in self._broken:
            return f"template {template_id!r} cannot be used: {self._broken[template_id]}"
        if template_id in self._templates and not (self._folder / f"{template_id}.json").is_file():
            return f"template {template_id!r} is missing: its file existed at the start; restore it"
        return None


def load(folder: Path = FOLDER, *, strict: bool = True) -> TemplateStore:
    """Read and check every template.

    Args:
        folder: where they are.
        strict: a template that cannot be used is an error; otherwise it is lost, and the others work.

    Raises:
        TemplateError: the first template that cannot be used, or a missing folder.
    """
    if strict and not folder.is_dir():
        raise TemplateError(f"{folder} is not a folder; give the one with the templates")
    checked = check(folder)
    broken = {each.id: each.error for each in checked if not each.ok}
    if strict and broken:
        raise TemplateError(next(iter(broken.values())))
    good = {each.id: fields(each.template) for each in checked if each.ok and each.template is not None}
    return TemplateStore(good, folder=folder, broken=broken)


def fields(template: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a template's field names to snake_case, as layers have them."""
    return cast("dict[str, Any]", resolve_aliases(dict(template), Node).value)


def check(folder: Path, *, default_contents: Container[str] | None = None) -> list[CheckedTemplate]:
    """Check every file, invalid ones included, in the order of their names.

    Args:
        folder: where they are.
        default_contents: ids of the default contents, to check a template's own; none: not checked.
    """
    return [check_file(path, default_contents=default_contents) for path in sorted(folder.glob("*.json"))]


def check_file(path: Path, *, default_contents: Container[str] | None = None) -> CheckedTemplate:
    """Check one file, as :func:`check` does."""
    try:
        source = node_files.read(_text(path), "json")
        if source.listed:
            raise _unusable("holds a list", "write one object with the template's fields")
    except UnparsableFile as error:
        # ``places`` has the place.
        message = error.finding.message.partition(": ")[2]
        return CheckedTemplate(
            file=path.name,
            id=path.stem,
            ok=False,
            report=Report(errors=(msgspec.structs.replace(error.finding, message=message),)),
            places=(error.place,),
        )
    given = source.nodes[0]
    report = validation.validate(given, facts=Facts(default_contents=default_contents))
    own = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
    wrong = (*report.errors, *_misnamed(own, path.stem)) if own else report.errors
    report = msgspec.structs.replace(report, errors=tuple(wrong))
    return CheckedTemplate(
        file=path.name,
        id=path.stem,
        ok=report.ok,
        template=own or None,
        report=report,
        places=tuple(source.place(each.path) for each in report.findings),
    )


def _misnamed(template: Mapping[str, Any], name: str) -> list[Finding]:
    found: list[Finding] = []
    if template.get("id") != name:
        current = repr(template["id"]) if "id" in template else "missing"
        found.append(_finding("id", f"the id is {current}; the file name says {name!r}", f"write {name!r}"))
    deeper = [each for each in ("template_id", "templateId") if template.get(each) is not None]
    return found + [
        _finding(each, "a template cannot have a template of its own", "leave it out") for each in deeper
    ]


def _finding(path: str, message: str, suggestion: str) -> Finding:
    return Finding(
        code="TPL003",
        severity=validation.Severity.ERROR,
        path=path,
        message=message,
        suggestion=suggestion,
    )


def _unusable(message: str, suggestion: str) -> UnparsableFile:
    return UnparsableFile("TPL003", f"the file {message}", TextPosition(), suggestion)


def _text(path: Path) -> str:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise _unusable(f"cannot be read: {error.strerror}", "check its permissions") from None
    if len(body) > MAX_SIZE:
        raise _unusable(f"has more than {MAX_SIZE} bytes", "make it smaller")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unusable(f"is not UTF-8 at byte {error.start}", "save it as UTF-8") from None
