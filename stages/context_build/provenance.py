"""Provenance of a request's node: the layer that set each value, and its place in the request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from contracts.events import Decided
from contracts.expansion import template_of
from contracts.nodes import layers
from contracts.nodes.node import Node
from contracts.nodes.rules import CompiledStep
from contracts.nodes.rules.effects import alike
from contracts.nodes.validation import Finding
from contracts.request import GenerationRequest

#: Characters of a rule or condition that are reported, and number of conditions.
MOST_SHOWN: Final = 120
MOST_CONDITIONS: Final = 4
_LISTS: Final = "constraints."
_CAPITAL: Final = re.compile("(?<=[a-z0-9])([A-Z])")
_QUOTED: Final = re.compile("'([^']+)'")


class Layered(msgspec.Struct, frozen=True, kw_only=True):
    """The merged layers of one request."""

    asked: GenerationRequest
    #: Template and node.
    below: layers.Merged
    #: The layer of the rules, with whole lists.
    rules: Mapping[str, Any]
    #: What the rules did, in their order.
    trace: tuple[CompiledStep, ...]
    #: The layer that set each value, by its dotted path in snake_case.
    set_by: Mapping[str, str]

    def layer(self, finding: Finding) -> str:
        """The layer that a finding is about; for a missing value, the layer that could have set it."""
        if self._element(finding) is not None:
            return layers.RULES
        path = _snake(finding.path)
        while path:
            inside = f"{path}."
            found = self.set_by.get(path) or next(
                (by for each, by in self.set_by.items() if each.startswith(inside)), None
            )
            if found not in (None, layers.DEFAULTS):
                return found
            path = path.rpartition(".")[0]
        if self.asked.node is not None:
            return layers.NODE
        if self.asked.template_id is not None:
            return layers.TEMPLATE
        return layers.REQUEST if self.asked.rules is None else layers.RULES

    def place(self, finding: Finding) -> str:
        """The place of a finding's cause in the request: ``node.duration.min``, ``rules line 3, duration.min``."""
        match self.layer(finding):
            case layers.TEMPLATE:
                field = "template_id" if self.asked.template_id else "node.templateId"
                return ", ".join(filter(None, (f"{field} {template_of(self.asked)!r}", finding.path)))
            case layers.RULES:
                step = self._element(finding) or self._last(_snake(finding.path))
                line = f" line {step.line}" if step is not None else ""
                return ", ".join(filter(None, (f"rules{line}", finding.path)))
            case layers.REQUEST:
                return finding.path
            case _:
                return f"node.{finding.path}" if finding.path else "node"

    def decided(self, node: Node) -> tuple[Decided, ...]:
        """What each layer except the defaults decided, in the order of a node's fields.

        Args:
            node: the merged node.
        """
        values = node.model_dump(mode="json", by_alias=False)
        made: list[Decided] = []
        for path, layer in self.set_by.items():
            if layer == layers.DEFAULTS or (path, layer) == ("generation_type", layers.REQUEST):
                continue
            if layer == layers.RULES:
                made += self._ruled(path)
            else:
                made.append(Decided(field=path, value=_at(values, path), by=layer))
        order = list(Node.model_fields)
        return tuple(sorted(made, key=lambda each: order.index(each.field.partition(".")[0])))

    def _ruled(self, path: str) -> list[Decided]:
        steps = [each for each in self.trace if each.field == path]
        whole: Any = _at(self.rules, path)
        if not isinstance(whole, list):
            return [_decided(each) for each in steps[-1:]]
        had: Any = _at(self.below.values, path) or []
        base = [Decided(field=path, value=had, by=self.below.set_by[path])] if had else []
        known = {alike(each) for each in had}
        return base + [_decided(each) for each in steps if alike(str(each.value)) not in known]

    def _last(self, path: str) -> CompiledStep | None:
        return next((each for each in reversed(self.trace) if path.startswith(each.field)), None)

    def _element(self, finding: Finding) -> CompiledStep | None:
        """The rule that added the element that a finding names."""
        if not _snake(finding.path).startswith(_LISTS):
            return None
        named = {alike(each) for each in _QUOTED.findall(finding.message)}
        return next(
            (
                each
                for each in self.trace
                if each.field.startswith(_LISTS) and alike(str(each.value)) in named
            ),
            None,
        )


def _decided(step: CompiledStep) -> Decided:
    return Decided(
        field=step.field,
        value=step.value,
        by=layers.RULES,
        line=step.line,
        rule=step.rule[:MOST_SHOWN],
        when=tuple(each[:MOST_SHOWN] for each in step.when[-MOST_CONDITIONS:]),
    )


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(values, Mapping):
            return None
        values = cast("Mapping[str, Any]", values).get(name)
    return values


def _snake(path: str) -> str:
    """A finding's path as the layers spell it."""
    return _CAPITAL.sub(lambda found: f"_{found[1].lower()}", path)
