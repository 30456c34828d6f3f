"""Files for a preview: a node or a request's body, and what is wrong with its node, as ``validate`` says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from contracts.nodes.node import Node
from contracts.nodes.validation import Facts, Finding, Report
from contracts.ports import Templates
from contracts.request import GenerationRequest
from infra.authoring import node_files
from infra.authoring.node_files import Source

#: Stands in for the prompt of a request that is not written yet.
PROMPT: Final = "(the prompt of the request)"
_NODE: Final = "node"


def _spellings(fields: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(spelling for name, field in fields.items() for spelling in (name, field.alias or name))


_OF_NODES: Final = _spellings(Node.model_fields)
_OF_BODIES: Final = _spellings(GenerationRequest.model_fields)


class PreviewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A body, and the file that it comes from."""

    body: bytes
    source: Source
    #: The file holds the node alone.
    bare: bool


def read(source: Source, *, prompt: str | None = None) -> PreviewFile:
    """Make a request's body of a file with a node or a body.

    Args:
        source: the file; its first value counts.
        prompt: of the request; replaces the body's own.
    """
    value = source.nodes[0]
    bare = is_node(value)
    body: Any = {"prompt": prompt or PROMPT, _NODE: value} if bare else value
    if prompt is not None and isinstance(body, dict):
        body = {**cast("dict[str, Any]", body), "prompt": prompt}
    return PreviewFile(body=json.dumps(body).encode(), source=source, bare=bare)


def is_node(value: Any) -> bool:
    """Whether a value is meant as a node: more of its fields are a node's alone than a body's alone."""
    if not isinstance(value, dict):
        return False
    names = set(cast("dict[str, Any]", value))
    if "prompt" in names:
        return False
    of_node, of_body = len(names & _OF_NODES - _OF_BODIES), len(names & _OF_BODIES - _OF_NODES)
    return of_node > of_body or (of_node == of_body and bool(names) and names <= _OF_NODES)


def examine(file: PreviewFile, facts: Facts, templates: Templates) -> Report:
    """Check the file's node; paths are those of the file.

    Args:
        file: the file.
        facts: facts from outside the node.
        templates: the library, for nodes with a template.
    """
    if file.bare:
        return node_files.examine(file.source, facts, templates)
    body = file.source.nodes[0]
    node: Any = cast("dict[str, Any]", body).get(_NODE) if isinstance(body, dict) else None
    if node is None:
        return Report()
    report = node_files.examine(Source(nodes=(node,)), facts, templates)
    return Report(
        errors=_below(report.errors),
        warnings=_below(report.warnings),
        suggestions=_below(report.suggestions),
        unchecked=report.unchecked,
    )


def _below(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    return tuple(
        msgspec.structs.replace(each, path=f"{_NODE}.{each.path}" if each.path else _NODE)
        for each in findings
    )
