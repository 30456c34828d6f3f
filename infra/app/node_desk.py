"""Node desk: what designers ask about a node before they publish it, over the files of some settings."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import msgspec
from cachetools import LRUCache

from contracts import subjects
from contracts.nodes import layers, validation
from contracts.nodes.field_aliases import resolve_aliases
from contracts.nodes.validation import Finding, Report, quick_fixes
from contracts.policy import fingerprint
from contracts.request import GenerationRequest, RequestError
from infra.app import kind_choice, node_check
from infra.app.pipeline_client import check
from infra.authoring import node_files, preview_files
from infra.authoring.node_health import JudgedNode
from infra.replay import marks
from infra.replay.reruns import Rerun

if TYPE_CHECKING:
    from contracts.nodes.validation.quick_fixes import QuickFix
    from infra.app.pipeline_client import PipelineClient
    from infra.settings.settings import Settings
    from infra.stores.templates import TemplateStore

#: Seconds for which templates that were read stay as they are: reading and checking them takes longer than all the rest.
_FRESH_S: Final = 2.0
#: Nodes whose findings are remembered.
_REMEMBERED: Final = 8_192
#: First characters of the id of a test; no job of reruns can have a name that makes such ids.
TEST_PREFIX: Final = f"{subjects.SHADOW}node_test-"
#: What a test says that it repeats: there is no earlier request.
_TESTED: Final = "node:"
_MAX_LABEL: Final = 64
#: Fields of a request that a test or a preview must not set: the desk does.
_OWN: Final = frozenset(
    {"node", "replay_of", "shadow", "from_stage", "reuse", "patched_by", "provider", "scene_of"}
)


class FoundFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding with its place in the body, and what removes it."""

    code: str
    severity: validation.Severity
    path: str
    message: str
    suggestion: str
    #: JSON Pointer (RFC 6901).
    pointer: str
    fixes: tuple[QuickFix, ...] = ()


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The findings for a node, or for a list of nodes."""

    ok: bool
    errors: tuple[FoundFinding, ...]
    warnings: tuple[FoundFinding, ...]
    suggestions: tuple[FoundFinding, ...]


class NodeDesk:
    """Checks, previews and tests of nodes.

    Args:
        settings: where templates and contents are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: tuple[float, TemplateStore] | None = None
        #: Of the templates.
        self._fingerprint = ""
        # Threads use it.
        self._lock = Lock()
        self._judged: LRUCache[Any, JudgedNode] = LRUCache(_REMEMBERED)

    def check(self, text: str, *, kind: str | None = None) -> NodeReport:
        """Check the JSON text of a node or a list of nodes, with quick fixes.

        Raises:
            UnderstudyError: an extension cannot be used.
        """
        templates = self._templates()
        facts = node_check.facts_of(self._settings, templates, kind=kind)
        try:
            source = node_files.read(text, "json")
        except node_files.UnparsableFile as error:
            return _locate(error.report, {})
        report = node_files.examine(source, facts, templates)
        fixes: dict[tuple[str, str, str], tuple[QuickFix, ...]] = {}
        tries = quick_fixes.FixTries()
        for index, node in enumerate(source.nodes):
            if tries.used_up:
                break
            before = str(index) if source.listed else ""
            template = node_files.find_template(node, templates)
            _, found = quick_fixes.find_fixes(node, template=template, facts=facts, tries=tries)
            for finding, each in found.items():
                path = ".".join(filter(None, (before, finding.path)))
                fixes[finding.code, path, finding.message] = tuple(_below(fix, before) for fix in each)
        return _locate(report, fixes)

    def judge(self, content: str, *, p95_ms: float | None = None) -> JudgedNode:
        """Examine one node; what was examined a moment ago is remembered.

        Args:
            content: JSON.
            p95_ms: the 95th percentile of its latency, if it is known.

        Raises:
            UnderstudyError: an extension cannot be used.
        """
        templates = self._templates()
        facts = node_check.facts_of(self._settings, templates)
        known = (content, p95_ms, self._fingerprint, facts.default_contents)
        with self._lock:
            judged = self._judged.get(known)
        if judged is None:
            node = json.loads(content)
            facts = msgspec.structs.replace(facts, p95_ms=p95_ms)
            template = node_files.find_template(node, templates)
            examined = validation.examine(node, template=template, facts=facts)
            assumed = examined.set_by.get("fallback.mode") == layers.DEFAULTS
            judged = JudgedNode(node=examined.node, report=examined.report, assumed_fallback=assumed)
            # A latency is another one a moment later.
            if p95_ms is None:
                with self._lock:
                    self._judged[known] = judged
        return judged

    def compose(self, node: Mapping[str, Any], fields: Mapping[str, Any]) -> tuple[str, bytes]:
        """The kind and the body of a request that uses a node.

        Args:
            node: its configuration.
            fields: of the request; a missing prompt becomes a placeholder.

        Raises:
            RequestError: a field that the node's own requests must not set, or the node's template is unknown.
        """
        wrong = sorted(
            each for each in resolve_aliases(dict(fields), GenerationRequest).value if each in _OWN
        )
        if wrong:
            raise RequestError(wrong[0], "is not for the requests of a node's preview or test; leave it out")
        body = msgspec.json.encode({"prompt": preview_files.PROMPT, **fields, "node": node})
        return kind_choice.choose_kind(body, templates=lambda: self._settings.templates_dir), body

    def compose_test(
        self, name: str, node: Mapping[str, Any], fields: Mapping[str, Any], *, token: str
    ) -> Rerun:
        """The request of a test: a shadow, which no subscriber, cache or statistic sees.

        Args:
            name: of the node.
            node: its configuration.
            fields: of the request.
            token: makes the test's id; unique.

        Raises:
            RequestError: as :meth:`compose`, or the pipeline would reject the body.
        """
        original = f"{_TESTED}{name}"[:_MAX_LABEL]
        kind, body = self.compose(node, fields)
        parts: dict[str, Any] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        body = msgspec.json.encode(parts | {"replay_of": original, "shadow": True})
        request_id = f"{TEST_PREFIX}{token}"
        check(kind, request_id, body)
        return Rerun(original=original, request_id=request_id, kind=kind, body=body)

    def _templates(self) -> TemplateStore:
        now = time.monotonic()
        loaded = self._loaded
        if loaded is None or now - loaded[0] > _FRESH_S:
            templates = node_check.load_templates(self._settings)
            self._fingerprint = fingerprint.digest({each: templates.find(each) for each in templates.ids()})
            loaded = self._loaded = (now, templates)
        return loaded[1]


async def publish_test(client: PipelineClient, test: Rerun) -> None:
    """Publish a test, with the mark that lets it be a shadow.

    Raises:
        Unavailable, ClientError: it is not stored.
    """
    mark = marks.build(test.request_id, letter=None, replay_of=test.original, body=test.body)
    await marks.leave(client.wire, [mark])
    await client.submit(test.kind, body=test.body, request_id=test.request_id)


def pointer_of(path: str) -> str:
    """The JSON Pointer of a finding's dotted path."""
    parts = (part.replace("~", "~0").replace("/", "~1") for part in path.split("."))
    return "".join(f"/{part}" for part in parts) if path else ""


def _below(fix: QuickFix, before: str) -> QuickFix:
    """A fix of one node of a list."""
    if not before:
        return fix
    patch = (msgspec.structs.replace(each, path=f"/{before}{each.path}") for each in fix.patch)
    return msgspec.structs.replace(fix, patch=tuple(patch))


def _locate(report: Report, fixes: Mapping[tuple[str, str, str], tuple[QuickFix, ...]]) -> NodeReport:
    def each(findings: tuple[Finding, ...]) -> tuple[FoundFinding, ...]:
        return tuple(
            FoundFinding(
                **msgspec.structs.asdict(found),
                pointer=pointer_of(found.path),
                fixes=fixes.get((found.code, found.path, found.message), ()),
            )
            for found in findings
        )

    return NodeReport(
        ok=report.ok,
        errors=each(report.errors),
        warnings=each(report.warnings),
        suggestions=each(report.suggestions),
    )
