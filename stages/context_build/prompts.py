"""Prompt of the writing stage, rendered from a version of a prompt family.

The texts are versions of prompt families (``families/<family>/<version>.md``).  A released version never
changes: another text is another version.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from contracts.nodes.node import Constraints, Duration, Node, Style
from contracts.policy.prompts import MAX_INLINE, OWN, PromptConfig, PromptVersion, Variable, find_fault
from contracts.ports import Prompts
from contracts.request import RequestError

_PATH: Final = "prompt_config"
_PLACEHOLDER: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
#: What a request has that sets nothing.
_NO_CONFIG: Final = PromptConfig()
_NO_NODE, _NO_CONSTRAINTS, _NO_STYLE, _NO_DURATION = Node(), Constraints(), Style(), Duration()
_DEPRECATED: Final = "prompt_config.inline_prompt is deprecated; use a prompt family and its variables"


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction for the writing stage."""

    text: str
    #: Which version it is, such as ``layout@1``.
    version: str
    warnings: tuple[str, ...] = ()


def render_freeform(
    prompts: Prompts,
    kind: str,
    prompt: str,
    *,
    node: Node | None = None,
    schema: Mapping[str, Any] | None = None,
    config: PromptConfig | None = None,
    told: tuple[str, ...] = (),
    drafts: bool = False,
) -> Rendered:
    """The instruction for the writing stage.

    The request's texts are data: they stand between markers that they cannot close.

    Args:
        prompts: the prompt families.
        kind: content kind.
        prompt: what is wanted, in the request's words.
        node: its style, duration and constraints are told with the wish.
        schema: a request's own; the prose has to say what its fields need.
        config: which version is to be used, and its variables; none: the latest of the kind's own family.
        told: what the world and the relationship ask for; lines below the wish, whatever the version.
        drafts: whether a version that was not released may be named.

    Raises:
        RequestError: naming the field of ``prompt_config`` and the fix.
    """
    chosen = config or _NO_CONFIG
    version = select(prompts, kind, chosen, drafts=drafts)
    warnings: tuple[str, ...] = ()
    variables: Mapping[str, Any] = chosen.variables
    if chosen.inline_prompt is not None:
        prompt = f"{prompt}\n{_inline(chosen.inline_prompt, variables)}"
        variables, warnings = {}, (_DEPRECATED,)
    own = {"wish": "\n".join((prompt, *told)), "schema": schema} | _directions(node or _NO_NODE)
    untold = [name for name in own if own[name] and name not in version.variables and name != "schema"]
    if untold:
        warnings += (f"{version.id} does not tell the writer {', '.join(untold)}; choose a later version",)
    values = {name: own[name] for name in version.variables if name in own} | _given(version, variables)
    return Rendered(text=prompts.render(version, values), version=version.id, warnings=warnings)


def _directions(node: Node) -> dict[str, Any]:
    """What a node says about its content, by the variables that tell it."""
    constraints, style = node.constraints or _NO_CONSTRAINTS, node.style or _NO_STYLE
    return {
        "mood_from": style.mood_from,
        "mood_to": style.mood_to,
        "pacing": style.pacing and str(style.pacing),
        "transition_type": style.transition_type and str(style.transition_type),
        "duration": _seconds(node.duration or _NO_DURATION),
        "required_elements": constraints.required_elements,
        "avoid_elements": constraints.avoid_elements,
        "content_rules": constraints.content_rules,
    }


def _seconds(duration: Duration) -> str | None:
    """Such as ``20-40, target 30``; ``None`` where nothing is said."""
    low, high, target = duration.min, duration.max, duration.target
    if low is not None and high is not None:
        told = [f"{low:g}-{high:g}"]
    else:
        told = [
            f"{word} {each:g}" for word, each in (("at least", low), ("at most", high)) if each is not None
        ]
    if target is not None:
        told.append(f"target {target:g}" if told else f"{target:g}")
    return ", ".join(told) or None


def select(prompts: Prompts, kind: str, config: PromptConfig, *, drafts: bool = False) -> PromptVersion:
    """The version that a request is written with.

    Args:
        prompts: the prompt families.
        kind: content kind of the request.
        config: what the request says.
        drafts: whether a version that was not released may be named.

    Raises:
        RequestError: no such family, no such version, or one of another kind.
    """
    field, family, number = "family", config.family or kind, config.version
    if config.version_id is not None:
        field = "version_id"
        family, _, named = config.version_id.partition("@")
        number = int(named)
    versions = prompts.versions(family)
    if not versions:
        known = ", ".join(prompts.families())
        raise RequestError(f"{_PATH}.{field}", f"there is no prompt family {family!r}; known are {known}")
    released = tuple(each for each in versions if each.released)
    usable = versions if drafts and number is not None else released
    if number is None and not usable:
        raise RequestError(f"{_PATH}.{field}", f"family {family!r} has no released version yet")
    version = (
        usable[-1] if number is None else next((each for each in usable if each.version == number), None)
    )
    if version is None:
        where = f"{_PATH}.{'version' if config.version_id is None else field}"
        draft = any(each.version == number for each in versions)
        state = "is a draft" if draft else "does not exist"
        has = ", ".join(str(each.version) for each in released) or "none"
        raise RequestError(where, f"version {number} of family {family!r} {state}; released are: {has}")
    if version.kind != kind:
        raise RequestError(f"{_PATH}.{field}", f"{version.id} is for kind {version.kind}, not {kind}")
    return version


def _given(version: PromptVersion, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a version's variables that are the request's to set, defaults filled in."""
    expected = {name: each for name, each in version.variables.items() if name not in OWN}
    for name in variables:
        if name in OWN:
            raise RequestError(_variable(name), "is taken from the request itself; leave it out")
        if name not in expected:
            known = f"it has {', '.join(expected)}" if expected else "it has none"
            raise RequestError(_variable(name), f"{version.id} has no such variable; {known}")
    values: dict[str, Any] = {}
    for name, each in expected.items():
        value = variables.get(name)
        if value is None and each.required:
            raise RequestError(_variable(name), f"is required by {version.id}: {each.says}{_choices(each)}")
        fault = find_fault(each, value) if value is not None else None
        if fault is not None:
            raise RequestError(_variable(name), f"{fault} ({version.id})")
        values[name] = each.default if value is None else value
    return values


def _choices(variable: Variable) -> str:
    return f" One of {', '.join(variable.one_of)}." if variable.one_of else ""


def _inline(text: str, variables: Mapping[str, Any]) -> str:
    """The inline prompt with its placeholders filled in, once: what is filled in is not read again."""
    placeholders = Counter[str](_PLACEHOLDER.findall(text))
    for name in variables:
        if name not in placeholders:
            raise RequestError(
                _variable(name), f"inline_prompt has no placeholder {{{{{name}}}}}; leave it out"
            )
    values: dict[str, str] = {}
    for name in placeholders:
        value = variables.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            said = "must be a text or a number" if name in variables else "is required by inline_prompt"
            raise RequestError(_variable(name), said)
        values[name] = str(value)
    length = len(text) + sum(len(values[name]) * times for name, times in placeholders.items())
    if length > MAX_INLINE:
        raise RequestError(
            f"{_PATH}.inline_prompt",
            f"has {length} characters with its variables filled in; at most {MAX_INLINE} are accepted",
        )
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def _variable(name: str) -> str:
    return f"{_PATH}.variables.{name}"
