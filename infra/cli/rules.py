"""`understudy rules`: check, format and compile."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from infra.cli import console
from infra.cli.console import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.nodes.rules import RuleFinding, Rules

app = typer.Typer(no_args_is_help=True, help="Rules of a node: settings that depend on the player.")

_File = Annotated[Path, typer.Argument(metavar="FILE", help="File with rules; - for standard input.")]


@app.command("check")
def check(file: _File, json: Json = False) -> None:
    """Check rules and suggest fixes; exit status 1 on errors."""
    _, found = _checked(_text(file))
    _tell(found, file, json=json)
    console.end(_status(found))


@app.command("format")
def format_(
    file: _File,
    write: Annotated[bool, typer.Option("--write", help="Change the file instead of printing.")] = False,
    json: Json = False,
) -> None:
    """Print rules in canonical form, with comments; exit status 1 if they cannot be parsed."""
    from contracts.nodes import rules as language

    if write and str(file) == "-":
        raise console.Usage("--write needs a file; standard input cannot be changed")
    text = _text(file)
    rules, found = _checked(text)
    if rules is None:
        _tell(found, file, json=json)
        console.end(console.FAILED)
        return
    written = language.format(rules)
    changed = written != text
    if write and changed:
        file.write_text(written, encoding="utf-8")
    if json:
        console.emit({"ok": True, "changed": changed, "text": written})
    elif write:
        console.note("changed" if changed else "nothing to change")
    else:
        _print(written)


@app.command("compile")
def compile_(
    file: _File,
    context: Annotated[
        Path | None,
        typer.Option(
            "--context",
            metavar="FILE",
            help="JSON file: the player's choices and other context; default: empty.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the node settings that rules give for one player, as JSON; --json adds warnings and origins."""
    from contracts.nodes import rules as language

    if context is not None and str(context) == str(file) == "-":
        raise console.Usage(
            "standard input cannot be both the rules and the context; give one of them as a file"
        )
    given = {} if context is None else _context(context)
    rules, found = _checked(_text(file))
    if rules is None or _status(found):
        _tell(found, file, json=json)
        console.end(console.FAILED)
        return
    compiled = language.compile(rules, given)
    warnings = (
        *(each for each in found if each.severity == language.RuleSeverity.WARNING),
        *compiled.warnings,
    )
    if json:
        console.emit(
            {"ok": True, "overrides": compiled.overrides, "warnings": warnings, "trace": compiled.trace}
        )
        return
    for each in warnings:
        console.errors().print(_line(each, file), soft_wrap=True, markup=False)
    console.emit(compiled.overrides)


def _checked(text: str) -> tuple[Rules | None, tuple[RuleFinding, ...]]:
    """Parse and lint a text: its rules, unless it is unreadable, and the findings."""
    from contracts.nodes import rules as language

    try:
        rules = language.parse(text)
    except language.RulesError as error:
        return None, (error.found,)
    return rules, language.lint(rules)


def _status(found: Sequence[RuleFinding]) -> int:
    return console.FAILED if any(each.severity == "error" for each in found) else console.DONE


def _tell(found: Sequence[RuleFinding], file: Path, *, json: bool) -> None:
    if json:
        by = {
            name: [each for each in found if each.severity == name]
            for name in ("error", "warning", "suggestion")
        }
        console.emit({"ok": not by["error"], **{f"{name}s": some for name, some in by.items()}})
        return
    out = console.people()
    for each in found:
        out.print(_line(each, file), soft_wrap=True, markup=False)
    if not found:
        out.print("[green]nothing is wrong[/]")


def _line(found: RuleFinding, file: Path) -> str:
    more = f"; {found.suggestion}" if found.suggestion else ""
    where = "" if str(file) == "-" else f"{file}:"
    return f"{where}{found.line}:{found.column}: {found.severity} {found.code}: {found.message}{more}"


def _text(file: Path) -> str:
    return _decoded(_read(file), file)


def _context(file: Path) -> dict[str, Any]:
    import msgspec

    try:
        found = msgspec.json.decode(_read(file))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise console.Usage(f"{file} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise console.Usage(
            f'{file} is no JSON object; write for instance {{"player_choice": {{"quest_accept": true}}}}'
        )
    return cast("dict[str, Any]", found)


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise console.Usage(f"cannot read {file}: {error.strerror}") from None


def _decoded(data: bytes, file: Path) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise console.Usage(f"{file} is not UTF-8: byte {error.start} cannot be read") from None


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise console.NobodyReads from None
