"""Request bodies from command-line options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from infra.cli import console

#: Names of the player's choices in a file, as in the rules' conditions.
_CHOICES: Final = ("choices", "player_choice", "playerChoice", "player_choices", "choice")
_PLAYER: Final = {"player_id": "player_id", "playerId": "player_id", "playthrough_id": "playthrough_id"} | {
    "playthroughId": "playthrough_id"
}
#: Other fields that a context file may have beside the player.
_BESIDE: Final = ("social", "world", "workspace", "tags", "scene_from", "scene_to")


class BodyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Values of the options."""

    prompt: str | None = None
    file: Path | None = None
    deadline_ms: int | None = None
    template: str | None = None
    rules: Path | None = None
    node: Path | None = None
    context: Path | None = None
    scenes: bool = False


def body(parts: BodyOptions) -> bytes:
    """Build the body; an option overrides the same field of ``--file``.

    Raises:
        Usage: neither a prompt nor a file, or both, or a file that cannot be used.
    """
    inputs = (parts.file, parts.rules, parts.node, parts.context)
    if sum(str(each) == "-" for each in inputs) > 1:
        raise console.Usage("standard input can be one of --file, --rules, --node and --context")
    whole = _whole(parts.prompt, parts.file)
    if parts.file is not None and _is_node(whole):
        raise console.Usage(
            f"--file {parts.file} looks like a node, not like a request's body: give it as --node {parts.file}, "
            "with a PROMPT"
        )
    return complete(whole, parts)


def complete(whole: bytes, parts: BodyOptions) -> bytes:
    """A body with the fields that options add to it.

    Raises:
        Usage: a file cannot be used, or the body is not an object.
    """
    options = {
        "deadline_ms": parts.deadline_ms,
        "template_id": parts.template,
        "scenes": parts.scenes or None,
    }
    told: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if parts.rules is not None:
        told["rules"] = _rules(parts.rules)
    if parts.node is not None:
        told["node"] = _node(parts.node)
    if parts.context is not None:
        told |= _context(parts.context)
    if not told:
        return whole
    said = _object(whole, f"--file {parts.file}")
    for name in ("deadlineMs", "templateId", "playerContext"):
        if _snake(name) in told:
            said.pop(name, None)
    return msgspec.json.encode(said | told)


def _is_node(body: bytes) -> bool:
    """Whether a value has no prompt, and only fields of a node."""
    from contracts.nodes.node import Node

    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return bool(said) and {_snake(name) for name in said} <= set(Node.model_fields)


def kind(given: str | None, body: bytes) -> str:
    """The content kind: the given one, else that of the node or template, else ``plot`` with scenes, else ``layout``.

    Raises:
        Usage: the template is unknown here, so that its kind is not known.
    """
    if given is not None:
        return given
    from contracts.request import RequestError
    from infra.app.kind_choice import choose_kind

    try:
        return choose_kind(body, templates=lambda: console.settings().templates_dir)
    except RequestError as error:
        raise console.Usage(f"{error}; for templates this machine lacks, pass --kind") from None


def _whole(prompt: str | None, file: Path | None) -> bytes:
    if file is None:
        if prompt is None:
            raise console.Usage("nothing to generate: give PROMPT or --file BODY.json")
        return msgspec.json.encode({"prompt": prompt})
    if prompt is not None:
        raise console.Usage("give either PROMPT or --file, not both")
    return _read(file, "--file")


def _rules(file: Path) -> str:
    """The rules, checked before they are sent, so that errors have line and column."""
    from contracts.nodes import rules as language

    try:
        text = _read(file, "--rules").decode("utf-8")
    except UnicodeDecodeError as error:
        raise console.Usage(f"--rules {file} is not UTF-8: byte {error.start} cannot be read") from None
    try:
        found = language.lint(language.parse(text))
    except language.RulesError as error:
        raise console.Usage(f"--rules {file}: {error.found}") from None
    wrong = next((each for each in found if each.severity is language.RuleSeverity.ERROR), None)
    if wrong is not None:
        raise console.Usage(f"--rules {file}: {wrong}; `understudy rules check` shows all")
    return text


def _node(file: Path) -> Any:
    from infra.authoring import node_files

    language = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}.get(file.suffix.lower())
    try:
        source = node_files.read(
            _read(file, "--node").decode("utf-8"),
            language,  # pyright: ignore[reportArgumentType] - one of the two words, or none
        )
    except UnicodeDecodeError as error:
        raise console.Usage(f"--node {file} is not UTF-8: byte {error.start} cannot be read") from None
    except node_files.UnparsableFile as error:
        raise console.Usage(f"--node {file}: {error}; {error.finding.suggestion}") from None
    if len(source.nodes) != 1:
        raise console.Usage(f"--node {file} holds {len(source.nodes)} nodes; a request has one")
    return source.nodes[0]


def _context(file: Path) -> dict[str, Any]:
    """A player's context, in any form of ``understudy rules compile --context`` that a request can have."""
    said = _object(_read(file, "--context"), f"--context {file}")
    told: dict[str, Any] = {name: said.pop(name) for name in _BESIDE if name in said}
    inner: Any = next((said.pop(name) for name in ("player_context", "playerContext") if name in said), {})
    if not isinstance(inner, dict):
        raise console.Usage(f"--context {file}: player_context must be an object")
    player: dict[str, Any] = {}
    for name, value in (*cast("dict[str, Any]", inner).items(), *said.items()):
        field = "choices" if name in _CHOICES else _PLAYER.get(name)
        if field is None:
            raise console.Usage(
                f"--context {file}: a request has no field {name!r}; put it into choices"
                f" (beside them: player_id, playthrough_id, {', '.join(_BESIDE)})"
            )
        player[field] = value
    return told | {"player_context": player}


def _object(body: bytes, name: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise console.Usage(f"{name} is not a JSON object: {error}") from None


def _read(file: Path, option: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise console.Usage(f"{option} {file} cannot be read: {error.strerror}") from None


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
