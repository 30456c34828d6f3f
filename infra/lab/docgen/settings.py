"""docs/settings.md: every setting."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import AliasChoices, BaseModel

from infra.lab.docgen import comments, schemas
from infra.lab.docgen.markdown import code, notice, table
from infra.lab.docgen.markdown import page as joined
from infra.settings import budgets, gateway, narrative, quality, review, telemetry
from infra.settings import settings as module

_ROOT: Final = Path(__file__).resolve().parents[3]
_PREFIX: Final = "UNDERSTUDY_"

_INTRODUCTION: Final = """\
A process reads its settings once, at its start, from three places; the first that has a setting wins:

1. an environment variable, named in the tables (levels are joined by two underscores);
2. `config.yaml` in the working directory, or the file that `UNDERSTUDY_CONFIG` names;
3. the default.

A wrong value stops the start; the message has the setting's name, its value and the allowed values. An unknown name stops
it too, with a suggestion. The file uses the names of the tables; variables are not case-sensitive.
Start from [`config.yaml.example`](../config.yaml.example). `understudy up` passes its settings to
every process that it starts. `understudy config show` prints the effective settings with the origin of each, and hides
secrets.
"""


class SettingDoc(msgspec.Struct, frozen=True, kw_only=True):
    """One setting."""

    #: Place in ``config.yaml``, dotted.
    path: str
    variable: str
    #: Markdown.
    allowed: str
    #: ``None`` where nothing is set.
    default: Any
    meaning: str


def every() -> tuple[SettingDoc, ...]:
    """All settings, in the order of the source."""
    schema = module.Settings.model_json_schema(by_alias=False)
    said = comments.of(module, budgets, narrative, quality, review, telemetry, gateway)
    return tuple(_below(module.Settings, None, "", schema, schema.get("$defs", {}), said))


def page() -> str:
    """The page."""
    said = comments.of(module, budgets, narrative, quality, review, telemetry, gateway)
    parts: list[str] = []
    for group, settings in _groups().items():
        if group:
            parts.append(f"## `{group}`")
            parts.append(said[type(_at(group)).__name__].docstring)
        parts.append(_table(settings))
    return joined("# Settings", notice("infra/settings/settings.py"), _INTRODUCTION, *parts)


def example() -> str:
    """``config.yaml.example``: every setting with its default."""
    lines = [
        "# Generated from infra/settings/settings.py by `python -m infra.lab.docgen`.  Copy it to config.yaml and keep only",
        "# what differs: every value below is the default.  docs/settings.md has the allowed values.",
    ]
    opened: list[str] = []
    for group, settings in _groups().items():
        path = group.split(".") if group else []
        shared = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(path, opened, strict=False))))
        if not shared:
            lines.append("")
        lines += [f"{'  ' * level}{name}:" for level, name in enumerate(path) if level >= shared]
        opened = path
        margin = "  " * len(path)
        for each in settings:
            if each.meaning:
                lines.append(f"{margin}# {each.meaning}")
            # Where the code lies is different on every machine.
            off = "# " if isinstance(each.default, Path) and each.default.is_absolute() else ""
            lines.append(f"{margin}{off}{each.path.rpartition('.')[2]}: {_yaml(each.default)}")
    return "\n".join(lines) + "\n"


def _groups() -> dict[str, list[SettingDoc]]:
    """Settings by the part of ``config.yaml`` that they stand in; what stands outside first."""
    groups: dict[str, list[SettingDoc]] = {}
    for setting in every():
        groups.setdefault(setting.path.rpartition(".")[0], []).append(setting)
    return groups


def _yaml(value: Any) -> str:
    if isinstance(value, Path):
        return str(value.relative_to(_ROOT)) if value.is_relative_to(_ROOT) else str(value)
    return msgspec.json.encode(value).decode()


def _table(settings: list[SettingDoc]) -> str:
    return table(
        ("in `config.yaml`", "variable", "allowed values", "default", "meaning"),
        [
            (
                code(each.path.rpartition(".")[2]),
                code(each.variable),
                each.allowed,
                _shown(each.default),
                each.meaning,
            )
            for each in settings
        ],
    )


def _at(path: str) -> BaseModel:
    found: Any = module.Settings.model_construct()
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _below(
    model: type[BaseModel],
    values: BaseModel | None,
    path: str,
    schema: dict[str, Any],
    definitions: dict[str, Any],
    said: dict[str, comments.ClassComments],
) -> list[SettingDoc]:
    found: list[SettingDoc] = []
    for name, field in model.model_fields.items():
        own = schema["properties"][name]
        value = field.get_default(call_default_factory=False) if values is None else getattr(values, name)
        if isinstance(value, BaseModel):
            inner = definitions[type(value).__name__]
            found += _below(type(value), value, f"{path}{name}.", inner, definitions, said)
            continue
        found.append(
            SettingDoc(
                path=f"{path}{name}",
                variable=_variable(f"{path}{name}", field.validation_alias),
                allowed=schemas.allowed(own, definitions),
                default=value,
                meaning=said[model.__name__].fields.get(name, ""),
            )
        )
    return found


def _variable(path: str, alias: Any) -> str:
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return _PREFIX + path.upper().replace(".", "__")


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Path) and value.is_relative_to(_ROOT):
        return f"{code(str(value.relative_to(_ROOT)))} beside the code"
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(str(value))
