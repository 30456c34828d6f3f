"""docs/commands.md: every command and its options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import typer.main

from infra.cli.app import app
from infra.lab.bench.cli import app as bench
from infra.lab.docgen.markdown import code, codes, notice, table
from infra.lab.docgen.markdown import page as joined

_INTRODUCTION: Final = """\
`understudy` is in `.venv/bin/` after `just install` (or after either of the README's commands).

With `--json` a command prints only JSON to standard output; logs and messages go to standard
error. Commands find a running pipeline through `<data_dir>/runtime.json`, or through `UNDERSTUDY_NATS_URL`.
Lists are complete with `--json`; a table says how many rows it omits. Ids accept wildcards (`--id 'w-*'`).
A waiting command reports on standard error when the connection to the broker is lost and restored.
`understudy --install-completion` sets up completion for bash, zsh, fish or PowerShell, and `understudy --version` prints
the version.

| exit status | meaning |
| --- | --- |
| 0 | success; for `request --wait`, `wait` and `result`: the answer can be used |
| 1 | the request or the check failed |
| 2 | wrong usage: nothing was done |
| 3 | the broker is unreachable or was lost while waiting; accepted requests are safe |
"""

#: How a value is shown whose option does not say.
_KINDS: Final[dict[type, str]] = {str: "TEXT", int: "N", float: "N", Path: "PATH"}


def every() -> dict[str, Any]:
    """Typer's commands by their full name, such as ``dead replay``, in the order of ``--help``."""
    found = _leaves(typer.main.get_command(app), ())
    del found["bench"]
    return found | {
        f"bench {name}": each for name, each in _leaves(typer.main.get_command(bench), ()).items()
    }


def page() -> str:
    """The page."""
    parts = [_command(name, command) for name, command in every().items()]
    return joined("# Commands", notice("infra/cli and infra/lab/bench/cli.py"), _INTRODUCTION, *parts)


def _leaves(command: Any, path: tuple[str, ...]) -> dict[str, Any]:
    inner: dict[str, Any] = getattr(command, "commands", {})
    if not inner:
        return {" ".join(path): command}
    found: dict[str, Any] = {}
    for name, each in inner.items():
        found |= _leaves(each, (*path, name))
    return found


def _command(name: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [
        each
        for each in command.params
        if each.param_type_name == "option" and not getattr(each, "hidden", False)
    ]
    usage = " ".join([f"understudy {name}", *map(_argument, arguments), *(["[OPTIONS]"] if options else [])])
    rows = [(code(_argument(each).strip("[]")), each.help or "", "") for each in arguments]
    rows += [(_names(each), each.help or "", _default(each)) for each in options if "--help" not in each.opts]
    parts = [f"## {name}", f"`{usage}`", command.help or ""]
    if rows:
        parts.append(table(("", "meaning", "default"), rows))
    return joined(*(re.sub(r"\[/?[a-z ]+\]", "", each) if each is command.help else each for each in parts))


def _argument(parameter: Any) -> str:
    shown = parameter.metavar or parameter.name.upper()
    return shown if parameter.required else f"[{shown}]"


def _names(parameter: Any) -> str:
    shown = codes([*parameter.opts, *parameter.secondary_opts])
    if getattr(parameter, "is_flag", False):
        return shown
    return f"{shown} {code(parameter.metavar or _KINDS[parameter.type_descriptor.annotation])}"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value in (None, "", False, ()) or callable(value):
        return ""
    if value is True and parameter.secondary_opts:
        return code(parameter.opts[0])
    return code(str(value))
