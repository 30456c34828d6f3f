"""Configuration file: the values of config.yaml, and their lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from contracts.errors import Misconfigured


class SettingsError(Misconfigured):
    """A setting that cannot be used; the text names it, its value and what is allowed."""


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration file holds."""

    #: Where it is; none: there is no file.
    path: Path | None = None
    values: Mapping[str, Any] = {}
    #: Line of each name, by its place; counted from 1.
    lines: Mapping[tuple[str, ...], int] = {}

    def place(self, name: tuple[str, ...]) -> str:
        """``config.yaml, line 3``; empty for what the file does not say."""
        line = self.lines.get(name)
        return "" if line is None else f"{self.path}, line {line}"


def read(path: Path | None) -> ConfigFile:
    """Read a file of settings.

    Raises:
        SettingsError: it cannot be read, is not YAML, holds something else than names with values, or
            gives a name twice.
    """
    if path is None:
        return ConfigFile()
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        lines = dict[tuple[str, ...], int]()
        if node is not None:
            _note(node, (), lines, path, above=())
        found: Any = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        # Without the lines around it: they may hold keys.
        raise SettingsError(f"{path} is not YAML: {error.problem}{_at(error.problem_mark)}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    if found is None:
        return ConfigFile(path=path)
    if not isinstance(found, dict) or not all(
        isinstance(name, str) for name in cast("dict[Any, Any]", found)
    ):
        where = "" if node is None else f" (line {node.start_mark.line + 1})"
        raise SettingsError(
            f"{path} must hold settings by their names, such as `deadline_ms: 60000`, as config.yaml.example "
            f"does{where}"
        )
    return ConfigFile(path=path, values=cast("dict[str, Any]", found), lines=lines)


def _note(
    node: yaml.Node,
    at: tuple[str, ...],
    lines: dict[tuple[str, ...], int],
    path: Path,
    *,
    above: tuple[yaml.Node, ...],
) -> None:
    """Note the lines of a mapping's names, at every depth.

    Raises:
        SettingsError: a name is given twice.
    """
    if not isinstance(node, yaml.MappingNode) or any(node is each for each in above):
        return
    for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
        if not isinstance(key, yaml.ScalarNode):
            continue
        name, line = (*at, str(key.value)), key.start_mark.line + 1
        if name in lines:
            raise SettingsError(
                f"{path}, line {line}: {'.'.join(name)} appears twice, first on line {lines[name]}; keep one"
            )
        lines[name] = line
        _note(value, name, lines, path, above=(*above, node))


def _at(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
