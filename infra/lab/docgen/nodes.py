"""Tables of docs/nodes.md, and the JSON Schema of node files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from contracts.nodes import layers, node
from contracts.nodes.field_aliases import model_of_field
from contracts.nodes.node import FILM_RATINGS, PURPOSES, Node
from infra.lab.docgen import comments, schemas
from infra.lab.docgen.markdown import code, codes, notice, table
from infra.lab.docgen.markdown import page as joined

_SOURCES: Final = "contracts/nodes/node.py, contracts/nodes/layers.py and stages/context_build/nodes.py"
_INTRODUCTION: Final = """\
A node describes a piece of content: its purpose, its mood, what it must and must not mention, who shares it, and what to
show when generation fails. A request carries it in the field `node`. `understudy validate FILE` checks a node file
([all checks](validation.md)), and [`node.schema.json`](schemas/node.schema.json) gives editors completion. `understudy preview
FILE` shows the merged node and the layer that set each value, the prompt, the seed, the cache key, and the stand-in and why
it would be chosen. It publishes nothing and works without a broker.

```json
{
  "generationType": "transition",
  "style": {"moodFrom": "romantic", "moodTo": "intense", "pacing": "medium", "transitionType": "gradual"},
  "duration": {"min": 15, "max": 45, "target": 30},
  "constraints": {"rating": "PG-13", "requiredElements": ["phone_ring"], "avoidElements": ["violence"]},
  "strategy": "per_playthrough",
  "fallback": {"mode": "default_content", "defaultContentId": "transition_01", "timeoutMs": 4000}
}
```
"""
_FIELDS: Final = """\
Every name is accepted in camelCase and in snake_case (`generationType` or `generation_type`), and an unknown one is an
error. The prompt states style, duration and constraints. Where the kind's document has a field for a mood, the pacing, the
transition type or the duration in seconds, the schema of the document allows only the node's value. A provider without constrained
decoding may deviate; `meta.warnings` then reports it. Purpose, strategy, seed source and version decide who
[shares a generation](seeds.md).
"""
_MERGING: Final = """\
A node is one of five layers. The later layer wins, field by field, at every level; a list replaces the list below it;
`null` removes the value of the lower layers. Checks run on the merged node.

1. **defaults**: {defaults}.
2. **template**: the node's or the request's [template](templates.md); its `id` becomes the merged node's
   `templateId`.
3. **node**: what the designer wrote.
4. **rules**: the result of the request's [rules](rules.md) for its player. Rules append to lists and never remove an
   element.
5. **request**: its `fallback`; its kind if no layer sets a type, and the moods of its [scenes](../library/scenarios/README.md)
   if no layer sets them.

For instance, with these layers:
"""
_REQUESTS: Final = """\
A request carries its node's layers in `node`, `template_id` and `rules`; all three are optional. The merged node is
checked as a whole. On an error the request is `rejected`, nothing is generated, and the reason names the layer (for rules,
the line), code, path and fix. Warnings are in the result's `meta.warnings`, each with its layer. The request's own
`fallback` overrides the node's, and its `deadline_ms` overrides `fallback.timeoutMs` of every layer.

The prompt states style, duration and all three lists of constraints below the wish. Required and avoided elements
are checked in the draft and in the document too.

`understudy why ID` shows which layer set each value, for rules with the line and the conditions that were true; so does
`decided` in the event [`context_built`](subjects.md#context_built).

A disabled node calls no model: its fallback answers, with the code `GEN_PROVIDER_DISABLED`.

A node need not be complete. The default purpose is `original` (for transitions `gap_fill`), the default strategy `always`:
generated for each request, never cached. If the node sets one of {own},
a warning names the assumed defaults.
"""
#: Example layers that show every rule of merging.
EXAMPLE: Final[Mapping[str, Mapping[str, Any]]] = {
    layers.TEMPLATE: {
        "style": {"mood_from": "romantic", "mood_to": "intense", "pacing": "medium"},
        "constraints": {"required_elements": ["phone_ring", "kiss_callback"]},
    },
    layers.NODE: {"style": {"mood_to": "tense"}, "constraints": {"required_elements": ["phone_ring"]}},
    layers.RULES: {"style": {"pacing": "fast", "mood_from": None}},
    layers.REQUEST: {"fallback": {"mode": "skip"}},
}


def page() -> str:
    """The page."""
    own = codes(map(to_camel, layers.OWN))
    return joined(
        "# Nodes",
        notice(_SOURCES),
        _INTRODUCTION,
        "## Fields",
        _FIELDS,
        _fields(),
        f"Known purposes: {_listed(PURPOSES)}. A word of your own is accepted with a warning.",
        "Ratings of the film scale: "
        f"{', '.join(f'{code(film)} {code(rating)}' for film, rating in FILM_RATINGS.items())}.",
        "## How layers are merged",
        _MERGING.format(defaults=_defaults()),
        _example(),
        "## In a request",
        _REQUESTS.format(own=own),
    )


def schema() -> str:
    """JSON Schema of a file with one node or a list of nodes, in either spelling."""
    said = comments.of(node)
    made: dict[str, Any] = Node.model_json_schema()
    definitions: dict[str, Any] = made.pop("$defs")
    definitions["Node"] = made
    for model in _models(Node):
        _both_spellings(model, definitions, said[model.__name__])
    for each in definitions.values():
        each.pop("title", None)
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Generation node",
        "description": "One node, or a list of nodes; `understudy validate FILE` checks more than a schema can.",
        "anyOf": [{"$ref": "#/$defs/Node"}, {"type": "array", "items": {"$ref": "#/$defs/Node"}}],
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _both_spellings(
    model: type[BaseModel], definitions: dict[str, Any], said: comments.ClassComments
) -> None:
    own = definitions[model.__name__]
    own["description"] = said.docstring
    for name, field in model.model_fields.items():
        alias = field.alias or name
        about = own["properties"][alias]
        about.pop("title", None)
        about.pop("default", None)
        if said.fields.get(name):
            about["description"] = said.fields[name]
        if alias != name:
            own["properties"][name] = {"$ref": f"#/$defs/{model.__name__}/properties/{alias}"}
            own.setdefault("allOf", []).append({"not": {"required": [alias, name]}})


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for name in model.model_fields:
        inside = model_of_field(model, name)
        if inside is not None:
            yield from _models(inside)


def _fields() -> str:
    said = comments.of(node)
    rows: list[tuple[str, str, str]] = []

    def add(model: type[BaseModel], above: str) -> None:
        schema = model.model_json_schema()
        definitions: dict[str, Any] = schema.get("$defs", {})
        for name, field in model.model_fields.items():
            path, inside = f"{above}{name}", model_of_field(model, name)
            if inside is not None:
                add(inside, f"{path}.")
                continue
            allowed = schemas.allowed(schema["properties"][field.alias or name], definitions)
            spelled = ".".join(map(to_camel, path.split(".")))
            meaning = said[model.__name__].fields.get(name, "")
            rows.append((code(spelled), allowed.removesuffix(" or null"), meaning))

    add(Node, "")
    return table(("field", "allowed values", "meaning"), rows)


def _listed(meanings: Mapping[str, str]) -> str:
    return ", ".join(f"{code(name)} ({meaning})" for name, meaning in meanings.items())


def _defaults() -> str:
    common = [f"{code(name)} is {code(json.dumps(value))}" for name, value in layers.COMMON.items()]
    for kind, fields in layers.OF_KIND.items():
        common += [f"{code(name)} of a {kind} is {code(json.dumps(value))}" for name, value in fields.items()]
    return ", ".join(common)


def _example() -> str:
    below = {layers.DEFAULTS: layers.default_layer("transition")}
    shown = {layer: EXAMPLE[layer] for layer in layers.ORDER if layer in EXAMPLE}
    lines = ",\n".join(f"  {json.dumps(layer)}: {json.dumps(fields)}" for layer, fields in shown.items())
    merged = layers.merge_layers(below | dict(EXAMPLE))
    rows = [
        (code(path), code(json.dumps(_at(merged.values, path))), by) for path, by in merged.set_by.items()
    ]
    result = table(("field", "value", "set by"), rows)
    return f"```json\n{{\n{lines}\n}}\n```\n\nthe node of a transition becomes\n\n{result}"


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values
