"""Node layers: defaults, template, node, rules and request merged into one node.

The later layer wins, field by field, at every level.  A list replaces the list below it.  ``null`` removes what
the lower layers set.
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

#: Default values of every node.
COMMON: Final[Mapping[str, Any]] = {
    "fallback": {"mode": "golden_sample"},
    "enabled": True,
    "version": 1,
}
#: Default values by content kind.
OF_KIND: Final[Mapping[str, Mapping[str, Any]]] = {"transition": {"purpose": "gap_fill"}}
#: Fields that show that a designer wrote the node: a warning then names the assumed values.
OWN: Final = ("id", "generation_type", "purpose", "strategy", "seed_source", "template_id", "version")
#: Assumed values of fields that a node does not set.
ASSUMED: Final[Mapping[str, Any]] = {"purpose": "original", "strategy": "always"}
#: Levels that are merged field by field; a node has two.
_DEEPEST: Final = 4


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """Merged values and their origin."""

    values: Mapping[str, Any]
    #: The layer that set each value, by dotted path in snake_case; a list is one value.
    set_by: Mapping[str, str]


def merge_layers(layers: Mapping[str, Mapping[str, Any]]) -> Merged:
    """Merge layers in their fixed order, whatever order they are given in.

    Args:
        layers: fields in snake_case, by the name of the layer; a missing layer sets nothing.

    Raises:
        KeyError: a layer is not in :data:`ORDER`.
    """
    unknown = layers.keys() - set(ORDER)
    if unknown:
        raise KeyError(f"no layer {min(unknown)!r}; layers are {', '.join(ORDER)}")
    values: dict[str, Any] = {}
    owners: dict[str, Any] = {}
    for layer in ORDER:
        _merge_layer(layers.get(layer, {}), values, owners, layer)
    usual = layers.get(DEFAULTS, {})
    for name in ASSUMED.keys() & usual.keys():
        # These fields are never empty: removing one restores its default.
        if values[name] is None:
            values[name], owners[name] = usual[name], DEFAULTS
    return Merged(values=values, set_by=dict(_flatten(owners, ())))


def default_layer(kind: str | None) -> dict[str, Any]:
    """The lowest layer.

    Args:
        kind: the node's content kind, where it is known.
    """
    return {**COMMON, **ASSUMED, **OF_KIND.get(kind or "", {})}


def template_layer(template: Mapping[str, Any]) -> dict[str, Any]:
    """A template as a layer: its id becomes the node's ``template_id``.

    Args:
        template: its fields in snake_case.
    """
    layer = dict(template)
    name = layer.pop("id", None)
    return layer if name is None else layer | {"template_id": name}


def _merge_layer(
    above: Mapping[str, Any], below: dict[str, Any], owners: dict[str, Any], layer: str, level: int = 1
) -> None:
    """Merge one layer onto the layers below; ``owners`` has the same form, with the layer for each value."""
    for name, value in above.items():
        if not isinstance(value, dict) or level == _DEEPEST:
            below[name], owners[name] = value, layer
            continue
        if not isinstance(owners.get(name), dict):
            below[name], owners[name] = {}, {}
        _merge_layer(cast("dict[str, Any]", value), below[name], owners[name], layer, level + 1)


def _flatten(owners: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name, owner in owners.items():
        if isinstance(owner, str):
            yield ".".join((*at, name)), owner
        else:
            yield from _flatten(owner, (*at, name))
