"""What does docs/templates.md say? Which node templates ship, and how they are used."""

from __future__ import annotations

from typing import Any, Final

from contracts.nodes import layers
from infra.lab.docgen.markdown import code, codes, notice, table
from infra.lab.docgen.markdown import page as joined
from infra.stores import templates

_SOURCES: Final = "library/templates/*.json and infra/lab/docgen/templates.py"
_INTRODUCTION: Final = """\
A template is a [node](nodes.md) that many nodes can lie on: what a request or its node leaves out, the template says.
It is a JSON file, `<id>.json`, in the folder that `UNDERSTUDY_TEMPLATES_DIR` names; these ship:
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

A template is named by `template_id`, or by the node's `templateId`; if both name one, it must be the same. It lies on the
defaults and below the node ([how layers are merged](nodes.md#how-layers-are-merged)), so that every field can be said
anew by the node, the rules or the request. `null` in the node takes back what the template says.

From a command line, with the rules and the player's choices in files; the content kind is the template's:

```bash
understudy request "They dance on the roof." --template romantic_to_action_transition_v1 \\
  --rules quest.rules --context player.json --wait
```

`--context` takes what `understudy rules compile --context` takes: `{"player_choice": {"quest_accept": true}}`, also with
`player_id` and `playthrough_id`, or all of it under `player_context`. `--node FILE` adds a node in JSON or YAML.
"""
_COMMANDS: Final = """\
```bash run
understudy templates ls
understudy templates show romantic_to_action_transition_v1
understudy templates check
```

`show` also tells what the defaults add; `check` takes a file or a folder and says what `understudy validate` would say,
with line and column. All three print JSON with `--json`; `check` exits 1 if a template cannot be used.
"""
_OWN: Final = """\
A template of your own is a complete node, together with the defaults: `understudy templates check FILE` looks. Beyond
the [checks of every node](validation.md), `TPL003` is an error of the file itself:

- its `id` is not the file's name, or is missing;
- it names a `templateId`: templates do not lie on each other;
- it is no single object, cannot be read, is not UTF-8, or is above {size} KiB.

Templates are read once, when a stage starts. Context-build does not start with one that cannot be used, and the message
names the file, the line and the fix. The folder is that of every process: a fallback or client with other templates
would arm another deadline.

| what is wrong | what comes of it |
| --- | --- |
| a request names a template that does not exist | `rejected`; the reason names the field and the nearest id |
| the kind of the template is not that of the request's subject | `rejected` (`TYP002`) |
| a template's file is removed while the pipeline runs | a golden sample, with that reason; the request's or node's own fallback goes first |
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
    return table(("template", "kind", "purpose", "mood", "it names", "rules", "strategy", "fallback"), rows)


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
