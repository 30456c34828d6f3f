"""What does a node come to when defaults, template, node, rules and request are laid over each other?

The later layer wins, field by field, however deep.  A list replaces the list below it: nothing is
appended.  ``null`` takes back what the layers below said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

#: Names of the layers, lowest first.
DEFAULTS: Final = "defaults"
TEMPLATE: Final = "template"
NODE: Final = "node"
RULES: Final = "rules"
REQUEST: Final = "request"
ORDER: Final = (DEFAULTS, TEMPLATE, NODE, RULES, REQUEST)

#: What every node is unless a layer says otherwise.
COMMON: Final[Mapping[str, Any]] = {
    "fallback": {"mode": "golden_sample"},
    "enabled": True,
    "version": 1,
}
#: The same by content kind.
OF_KIND: Final[Mapping[str, Mapping[str, Any]]] = {"transition": {"purpose": "gap_fill"}}
#: Fields that make a node a designer's own: with one of them, a warning says what was assumed.
OWN: Final = ("id", "generation_type", "purpose", "strategy", "seed_source", "template_id", "version")
#: What a node is that does not say it.
ASSUMED: Final[Mapping[str, Any]] = {"purpose": "original", "strategy": "always"}
#: Levels that are laid field by field; a node has two, and what is deeper is no node's.
_DEEPEST: Final = 4


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What the layers come to, and which of them said what."""

    values: Mapping[str, Any]
    #: The layer that set each value, by its dotted path in snake_case; a list is one value.
    set_by: Mapping[str, str]


def merge(layers: Mapping[str, Mapping[str, Any]]) -> Merged:
    """Lay some layers over each other, whatever order they are given in.

    Args:
        layers: fields in snake_case, by the name of the layer; what is missing says nothing.

    Raises:
        KeyError: a layer that :data:`ORDER` does not know.
    """
    unknown = layers.keys() - set(ORDER)
    if unknown:
        raise KeyError(f"no layer {min(unknown)!r}; layers are {', '.join(ORDER)}")
    values: dict[str, Any] = {}
    owners: dict[str, Any] = {}
    for layer in ORDER:
        _lay(layers.get(layer, {}), values, owners, layer)
    usual = layers.get(DEFAULTS, {})
    for name in ASSUMED.keys() & usual.keys():
        # A node cannot be without them: what is taken back is what is usual again.
        if values[name] is None:
            values[name], owners[name] = usual[name], DEFAULTS
    return Merged(values=values, set_by=dict(_flat(owners, ())))


def defaults(kind: str | None) -> dict[str, Any]:
    """The lowest layer.

    Args:
        kind: the node's content kind, where it is known.
    """
    return {**COMMON, **ASSUMED, **OF_KIND.get(kind or "", {})}


def template_layer(template: Mapping[str, Any]) -> dict[str, Any]:
    """A template as a layer: its own name is the ``template_id`` of what it becomes.

    Args:
        template: its fields in snake_case.
    """
    layer = dict(template)
    name = layer.pop("id", None)
    return layer if name is None else layer | {"template_id": name}


def _lay(
    above: Mapping[str, Any], below: dict[str, Any], owners: dict[str, Any], layer: str, level: int = 1
) -> None:
    """Lay one layer over what lies below; ``owners`` has the same form, with the layer for each value."""
    for name, value in above.items():
        if not isinstance(value, dict) or level == _DEEPEST:
            below[name], owners[name] = value, layer
            continue
        if not isinstance(owners.get(name), dict):
            below[name], owners[name] = {}, {}
        _lay(cast("dict[str, Any]", value), below[name], owners[name], layer, level + 1)


def _flat(owners: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name, owner in owners.items():
        if isinstance(owner, str):
            yield ".".join((*at, name)), owner
        else:
            yield from _flat(owner, (*at, name))
