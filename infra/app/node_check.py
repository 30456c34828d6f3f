"""Check of node configurations, with the templates and default contents of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.nodes.validation import Facts
from infra.authoring import node_files
from infra.stores import templates as template_store
from infra.stores.samples import default_ids

if TYPE_CHECKING:
    from contracts.nodes.validation import Report
    from infra.settings.settings import Settings
    from infra.stores.templates import TemplateStore


def load_templates(settings: Settings) -> TemplateStore:
    """The template library; templates that cannot be used are left out."""
    return template_store.load(settings.templates_dir, strict=False)


def facts_of(settings: Settings, templates: TemplateStore, *, kind: str | None = None) -> Facts:
    """Facts that are known on this machine.

    Args:
        settings: where the files are.
        templates: the library.
        kind: the content kind of the request, if there is one.

    Raises:
        UnderstudyError: an extension cannot be used.
    """
    settings.extensions.require()
    return Facts(kind=kind, default_contents=default_ids(settings.sample_folders), templates=templates.ids())


def check_json(settings: Settings, text: str, *, kind: str | None = None) -> Report:
    """Check a node, or a list of nodes, in JSON.

    Raises:
        UnderstudyError: an extension cannot be used.
    """
    templates = load_templates(settings)
    try:
        source = node_files.read(text, "json")
    except node_files.UnparsableFile as error:
        return error.report
    return node_files.examine(source, facts_of(settings, templates, kind=kind), templates)


def report_to_json(report: Report) -> dict[str, Any]:
    """The object that ``validate --json`` prints."""
    return {
        "ok": report.ok,
        "errors": report.errors,
        "warnings": report.warnings,
        "suggestions": report.suggestions,
    }
