"""Merge of a request's layers: defaults, template, node, rules, request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
from pydantic_core import from_json

from contracts.events import Decided
from contracts.expansion import Expansion, format_unknown_template, rules_context, template_of
from contracts.nodes import layers
from contracts.nodes import rules as language
from contracts.nodes.field_aliases import resolve_aliases
from contracts.nodes.node import Node
from contracts.nodes.rules import Compiled, RuleFinding, RuleSeverity
from contracts.nodes.rules.effects import alike
from contracts.policy.social import Worlds
from contracts.ports import Samples, Templates
from contracts.request import GenerationRequest, RequestError, refuse
from stages.context_build import nodes
from stages.context_build.provenance import Layered

#: Lists of a node to which rules add.
_LISTS: Final = ("required_elements", "avoid_elements", "content_rules")
#: Findings of rules that a result reports.
MAX_FINDINGS: Final = 20


class TemplateLost(Exception):  # noqa: N818 - names the template's state
    """A template that once existed and can no longer be used; the text says why."""


class MergedNode(msgspec.Struct, frozen=True, kw_only=True):
    """A request's node with all layers merged."""

    node: Node
    warnings: tuple[str, ...]
    #: Each value with the layer that decided it; without the defaults.
    decided: tuple[Decided, ...]
    #: The layers outside the request.
    around: Mapping[str, Mapping[str, Any]]

    def by(self, field: str) -> str:
        """The layer that set a field, for people: ``rules, line 3``; ``defaults`` where none did."""
        found = next((each for each in reversed(self.decided) if each.field == field), None)
        if found is None:
            return layers.DEFAULTS
        return found.by if found.line is None else f"{found.by}, line {found.line}"


def overrides(text: str, context: Mapping[str, Any]) -> Mapping[str, Any]:
    """Evaluate a text of rules; implements :data:`contracts.ports.Overrides`."""
    try:
        parsed = language.parse(text)
    except language.RulesError:
        return {}
    return language.compile(parsed, context).overrides


def merge_node(
    asked: GenerationRequest,
    body: bytes,
    kind: str,
    *,
    samples: Samples,
    templates: Templates,
    worlds: Worlds,
) -> MergedNode | None:
    """Merge the layers of a request and check the result.

    Args:
        asked: a checked request.
        body: its bytes; findings name fields as they are spelled there.
        kind: the kind that the request's subject names.
        samples: knows the default contents.
        templates: the template library.
        worlds: know the greatest rating.

    Returns:
        the node; ``None`` for a request that has neither node nor template nor rules nor a scene's mood.

    Raises:
        RequestError: naming the field, for rules with their line.
        TemplateLost: the template existed and can no longer be used.
    """
    if asked.node is None and asked.template_id is None and asked.rules is None and not asked.moods:
        return None
    template = _template(asked, templates)
    compiled, told = _compiled(asked)
    raw: Any = from_json(body).get("node")
    node: dict[str, Any] = {} if raw is None else raw
    below = _below(template, node)
    rules = _united(below, compiled.overrides)
    around = {layers.TEMPLATE: layers.template_layer(template)} if template else {}
    around |= {layers.RULES: rules} if rules else {}
    examined = nodes.examine(
        asked,
        node,
        kind,
        samples=samples,
        worlds=worlds,
        expansion=Expansion(layers=around),
        template=template,
        rules=rules,
    )
    layered = Layered(asked=asked, below=below, rules=rules, trace=compiled.trace, set_by=examined.set_by)
    refuse(examined.report, place=layered.place)
    found = tuple(f"{layered.layer(each)}: {each}" for each in examined.report.warnings)
    return MergedNode(
        node=examined.node, warnings=(*found, *told), decided=layered.decided(examined.node), around=around
    )


def _template(asked: GenerationRequest, templates: Templates) -> Mapping[str, Any] | None:
    named, below = template_of(asked), asked.node.template_id if asked.node else None
    if named is None:
        return None
    if below is not None and below != named:
        raise RequestError(
            "template_id", f"is {named!r}, and the node's templateId is {below!r}; keep one of them"
        )
    template = templates.find(named)
    if template is None:
        lost = templates.lost(named)
        if lost is not None:
            raise TemplateLost(lost)
        where = "template_id" if asked.template_id else "node.templateId"
        raise RequestError(where, format_unknown_template(named, templates))
    return template


def _compiled(asked: GenerationRequest) -> tuple[Compiled, tuple[str, ...]]:
    """Compile the request's rules for its player; with the warnings about them."""
    if asked.rules is None:
        return Compiled(overrides={}), ()
    try:
        parsed, found = _linted(asked.rules)
    except language.RulesError as error:
        raise RequestError("rules", str(error.found)) from None
    errors = [each for each in found if each.severity is RuleSeverity.ERROR]
    if errors:
        more = f" | and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise RequestError("rules", f"{errors[0]}{more}")
    compiled = language.compile(parsed, rules_context(asked))
    warned = [each for each in found if each.severity is RuleSeverity.WARNING]
    return compiled, _told(dict.fromkeys((*warned, *compiled.warnings)))


@lru_cache(maxsize=256)
def _linted(text: str) -> tuple[language.Rules, tuple[RuleFinding, ...]]:
    """Rules and their findings, remembered: most requests of a node have the same text."""
    parsed = language.parse(text)
    return parsed, language.lint(parsed)


def _told(found: Mapping[RuleFinding, None]) -> tuple[str, ...]:
    lines = [f"rules: {each}" for each in found]
    more = len(lines) - MAX_FINDINGS
    return (*lines[:MAX_FINDINGS], *([f"rules: and {more} more"] if more > 0 else []))


def _below(template: Mapping[str, Any] | None, node: Mapping[str, Any]) -> layers.Merged:
    """The layers below the rules, without the defaults."""
    return layers.merge_layers(
        {
            layers.TEMPLATE: layers.template_layer(resolve_aliases(dict(template or {}), Node).value),
            layers.NODE: resolve_aliases(dict(node), Node).value,
        }
    )


def _united(below: layers.Merged, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The layer of the rules, whose additions to a list come after the list's other values."""
    had = cast("dict[str, Any]", below.values.get("constraints") or {})
    added = dict(cast("dict[str, Any]", overrides.get("constraints", {})))
    for name in _LISTS:
        known = {alike(each) for each in had.get(name) or ()}
        new = [each for each in added.pop(name, ()) if alike(each) not in known]
        if new:
            added[name] = [*(had.get(name) or ()), *new]
    rest = {name: value for name, value in overrides.items() if name != "constraints"}
    return rest | ({"constraints": added} if added else {})
