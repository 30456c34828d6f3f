"""docs/templates.md: the shipped node templates and their use."""

from __future__ import annotations

from typing import Any, Final

from contracts.nodes import layers
from infra.lab.docgen.markdown import code, codes, notice, table
from infra.lab.docgen.markdown import page as joined
from infra.stores import templates

_SOURCES: Final = "library/templates/*.json and infra/lab/docgen/templates.py"
_INTRODUCTION: Final = """\
A template is a [node](nodes.md) that many nodes build on: it sets the fields that a request and its node leave out.
It is a JSON file, `<id>.json`, in the folder `UNDERSTUDY_TEMPLATES_DIR`. These templates ship:
"""
_USE: Final = """\
```json
{
  "prompt": "They dance on the roof until somebody has to go.",
  "template_id": "romantic_to_action_transition_v1",
  "rules": "IF player_choice.quest_accept == true\\n  THEN moodTo = determined pacing = fast\\nDURATION 20-40s TARGET 30s",
  "player_context": {"player_id": "p-7", "playthrough_id": "pt-3", "choices": {"quest_accept": true}}
}
```

A request names a template in `template_id`, or its node in `templateId`; if both do, they must agree. The template is the
layer above the defaults and below the node ([how layers are merged](nodes.md#how-layers-are-merged)), so the node, the rules
and the request can override every field. `null` in the node removes the template's value.

On the command line, with the rules and the player's choices in files; the content kind is the template's:

```bash
understudy request "They dance on the roof." --template romantic_to_action_transition_v1 \\
  --rules quest.rules --context player.json --wait
```

`--context` accepts the same file as `understudy rules compile --context`: `{"player_choice": {"quest_accept": true}}`, also with
`player_id` and `playthrough_id`, or all of it under `player_context`. `--node FILE` adds a node in JSON or YAML.
"""
_COMMANDS: Final = """\
```bash run
understudy templates ls
understudy templates show romantic_to_action_transition_v1
understudy templates check
```

`show` also prints the defaults that apply; `check` takes a file or a folder and reports the findings of `understudy validate`,
with line and column. All three print JSON with `--json`; `check` exits 1 if a template cannot be used.
"""
_OWN: Final = """\
Together with the defaults, your own template must be a complete node: `understudy templates check FILE` verifies it. Beyond
the [checks of every node](validation.md), `TPL003` is an error of the file itself:

- its `id` differs from the file name, or is missing;
- it sets `templateId`: templates do not build on each other;
- it is not a single object, cannot be read, is not UTF-8, or exceeds {size} KiB.

Templates are read once, when a stage starts. Context-build does not start with an invalid template; the message
names the file, the line and the fix. All processes must use the same folder: a fallback or a client with other templates
would set another deadline.

| problem | result |
| --- | --- |
| a request names a template that does not exist | `rejected`; the reason names the field and the nearest id |
| the kind of the template is not that of the request's subject | `rejected` (`TYP002`) |
| a template's file is removed while the pipeline runs | a golden sample, with that reason, unless the request or its node has its own fallback |
"""


def page() -> str:
    """The page."""
    return joined(
        "# Templates",
        notice(_SOURCES),
        _INTRODUCTION,
        _library(),
        "## In a request",
        _USE,
        "## Commands",
        _COMMANDS,
        "## Writing one",
        _OWN.format(size=templates.MAX_SIZE // 1024),
    )


def _library() -> str:
    library = templates.load()
    rows = [(code(each), *_told(library.find(each) or {})) for each in library.ids()]
    return table(
        ("template", "kind", "purpose", "mood", "required elements", "content rules", "strategy", "fallback"),
        rows,
    )


def _told(template: Any) -> tuple[str, ...]:
    style, constraints = template.get("style", {}), template.get("constraints", {})
    fallback = template.get("fallback", layers.COMMON["fallback"])
    kind = template["generation_type"]
    return (
        kind,
        code(template.get("purpose") or layers.OF_KIND[kind]["purpose"]),
        " to ".join(filter(None, (style.get("mood_from"), style.get("mood_to")))),
        codes(constraints.get("required_elements", ())),
        codes(constraints.get("content_rules", ())),
        code(template["strategy"]),
        code(fallback["mode"]),
    )
