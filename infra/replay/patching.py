"""Edits of request bodies: JSON Patch (RFC 6902), checked before it is applied to many."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, Final

import jsonpatch
import jsonpointer
import msgspec
from pydantic.alias_generators import to_snake

from contracts.errors import UnderstudyError
from contracts.lineage import DESCENT, StartStage
from contracts.request_edits import PROSE

#: The operations, and the field that each of them needs beside ``path``.
_OPERATIONS: Final = {
    "add": "value",
    "remove": None,
    "replace": "value",
    "move": "from",
    "copy": "from",
    "test": "value",
}
Operations = list[dict[str, Any]]


class PatchError(UnderstudyError):
    """A patch that cannot be used at all; the text names the operation."""


class PatchRefused(UnderstudyError):  # noqa: N818 - names the state of one request
    """A patch that does not apply to one request; the text names the path."""


def read(text: bytes) -> Operations:
    """Read a JSON Patch.

    Args:
        text: a JSON array of operations.

    Raises:
        PatchError: it is no patch.
    """
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PatchError(f"the patch is not JSON: {error}") from None
    return check(found)


def check(found: Any) -> Operations:
    """Check that JSON values are a JSON Patch.

    Raises:
        PatchError: they are none.
    """
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise PatchError(
            'a patch is an array of operations, such as [{"op": "replace", "path": "/seed", "value": 7}]'
        )
    operations: Operations = found
    for number, each in enumerate(operations, start=1):
        _check(number, each)
    try:
        jsonpatch.JsonPatch(operations)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise PatchError(f"the patch cannot be used: {error}") from None
    return operations


def check_bulk(operations: Operations) -> None:
    """Refuse a patch for more than one request that changes each of them, whatever it is like.

    Raises:
        PatchError: no ``test`` comes before the first change.
    """
    if operations[0]["op"] != "test":
        raise PatchError(
            "a patch for many requests needs a `test` before its first change, so that it changes only those that it is "
            'meant for, such as {"op": "test", "path": "/world", "value": "academy"}'
        )


def check_effect(operations: Operations, from_stage: StartStage | None) -> None:
    """Refuse a patch of what only stages before the first one read.

    Raises:
        PatchError: naming the place.
    """
    if from_stage is None:
        return
    for each in operations:
        if each["op"] == "test":
            continue
        for place in (each["path"], each["from"] if each["op"] == "move" else "/"):
            name = place.split("/")[1:2]
            if not name or to_snake(name[0]) in PROSE:
                raise PatchError(
                    f"the patch of {place!r} has no effect from {from_stage} on, where the prose is the stored one: start "
                    "earlier, or leave it out"
                )


def apply(operations: Operations, fields: dict[str, Any]) -> dict[str, Any]:
    """Apply a patch to the fields of one request, which stay as they are.

    Raises:
        PatchRefused: an operation does not apply, a ``test`` fails, or the result has a field of :data:`DESCENT`.
    """
    done: Any = copy.deepcopy(fields)
    for number, each in enumerate(operations, start=1):
        try:
            done = jsonpatch.JsonPatch([each]).apply(done, in_place=True)
        except jsonpatch.JsonPatchTestFailed:
            raise PatchRefused(
                f"the patch does not apply: the test at {each['path']!r} fails (operation {number})"
            ) from None
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
            raise PatchRefused(
                f"the patch does not apply: {each['op']} at {each['path']!r} (operation {number}): {error}"
            ) from None
    if not isinstance(done, dict):
        raise PatchRefused("the patch does not apply: it leaves no request body")
    set_by_replays = find_descent(done)
    if set_by_replays:
        raise PatchRefused(f"the patch sets {', '.join(set_by_replays)}, which replays set themselves")
    return done


def find_descent(fields: Iterable[str]) -> list[str]:
    """The names, in either spelling, that say where a request comes from."""
    return sorted(each for each in fields if to_snake(each) in DESCENT)


def _check(number: int, operation: dict[str, Any]) -> None:
    op, path = operation.get("op"), operation.get("path")
    if op not in _OPERATIONS or not isinstance(path, str):
        raise PatchError(
            f"operation {number} of the patch needs `op` (one of {', '.join(sorted(_OPERATIONS))}) and `path`"
        )
    needed = _OPERATIONS[op]
    if needed is not None and needed not in operation:
        raise PatchError(f"operation {number} of the patch, {op} at {path!r}, needs `{needed}`")
    for place in (path, operation.get("from")):
        if isinstance(place, str) and find_descent(place.split("/")[1:2]):
            raise PatchError(
                f"operation {number} of the patch touches {place!r}, which replays set themselves; leave it out"
            )
