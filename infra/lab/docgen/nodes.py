"""What do docs/nodes.md and the schema of node files say? What a designer may ask for, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from contracts.nodes import layers, node
from contracts.nodes.field_aliases import part_of
from contracts.nodes.node import FILM_RATINGS, PURPOSES, Node
from infra.lab.docgen import comments, schemas
from infra.lab.docgen.markdown import code, codes, notice, table
from infra.lab.docgen.markdown import page as joined

_SOURCES: Final = "contracts/nodes/node.py, contracts/nodes/layers.py and stages/context_build/nodes.py"
_INTRODUCTION: Final = """\
A node says what a piece of content is for, what it should feel like, what it must name and what it must not, who
shares it, and what is shown when generation fails. A request brings one under `node`; a file of its own is checked
with `understudy validate FILE` ([every check](validation.md)), and editors complete it with
[`node.schema.json`](schemas/node.schema.json).

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
error. The writer is told style, duration and constraints; where the kind's document has a field for a mood, the pacing, the
transition type or the duration in seconds, the schema of the document allows only what the node says. A provider that is not
held to the schema may say something else; then `meta.warnings` tells. Purpose, strategy, seed source
and version decide who [shares a generation](seeds.md).
"""
_MERGING: Final = """\
A node is one of five layers. The later layer wins, field by field, however deep; a list replaces the list below it;
`null` takes back what the layers below said. Checks look at what comes out.

1. **defaults**: {defaults}.
2. **template**: the node's or the request's [template](templates.md); its `id` becomes the `templateId` of what is
   made from it.
3. **node**: what the designer wrote.
4. **rules**: what the request's [rules](rules.md) come to for its player. What they add to a list stands behind what
   the list has: rules never take an element away.
5. **request**: its `fallback`; its kind where no layer names a type, and the moods of its [scenes](../library/scenarios/README.md)
   where none names them.

For instance, with these layers:
"""
_REQUESTS: Final = """\
A request brings its node's layers as `node`, `template_id` and `rules`; each of them may come alone. What the layers
come to is checked as a whole. An error refuses the request: its status is `rejected`, nothing is generated, and the
reason names the layer, for rules with their line, and code, path and fix. Warnings stand in the result's
`meta.warnings`, each with its layer. The request's own `fallback` lies above the node's, and its `deadline_ms` goes
before the node's `fallback.timeoutMs`, whichever layer that comes from.

Style, duration and all three lists of constraints are told to the writer, below the wish. Required and avoided elements
are checked in the draft and in the document too.

`understudy why ID` shows which layer decided what, for rules with the line and the conditions that held; so does
`decided` in the event [`context_built`](subjects.md#context_built).

A disabled node asks no model: its fallback answers, with the code `GEN_PROVIDER_DISABLED`.

No node need be complete. Without a purpose it is `original` (for transitions `gap_fill`), without a strategy `always`:
generated anew each time, and not kept. Where it names one of {own},
it is a designer's own, and a warning says what was assumed.
"""
#: Layers that show every rule of merging.
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
        f"Purposes that are known: {_listed(PURPOSES)}. A word of your own is accepted with a warning.",
        "Ratings of the film scale mean: "
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
        inside = part_of(model, name)
        if inside is not None:
            yield from _models(inside)


def _fields() -> str:
    said = comments.of(node)
    rows: list[tuple[str, str, str]] = []

    def add(model: type[BaseModel], above: str) -> None:
        schema = model.model_json_schema()
        definitions: dict[str, Any] = schema.get("$defs", {})
        for name, field in model.model_fields.items():
            path, inside = f"{above}{name}", part_of(model, name)
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
    below = {layers.DEFAULTS: layers.defaults("transition")}
    shown = {layer: EXAMPLE[layer] for layer in layers.ORDER if layer in EXAMPLE}
    lines = ",\n".join(f"  {json.dumps(layer)}: {json.dumps(fields)}" for layer, fields in shown.items())
    merged = layers.merge(below | dict(EXAMPLE))
    rows = [
        (code(path), code(json.dumps(_at(merged.values, path))), by) for path, by in merged.set_by.items()
    ]
    result = table(("field", "value", "set by"), rows)
    return f"```json\n{{\n{lines}\n}}\n```\n\nthe node of a transition becomes\n\n{result}"


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values
