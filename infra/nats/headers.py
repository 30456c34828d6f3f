"""Header blocks of the NATS protocol: bytes to names and values, and back.

nats-py checks every name of every block with an expression of its own; here a name is checked once.  ADR-4 of NATS
has the format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from nats.js.api import Header
from understudy_client import protocol

#: Position of the status code in a block's first line, ``NATS/1.0 404 No Messages``, and its digits.
_STATUS_AT: Final = 9
_STATUS_SIZE: Final = 3
#: Characters that bytes.strip() removes.
_BLANK: Final = " \t\n\r\x0b\x0c"
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: Names of received headers, by their spelling in the block.
_received: dict[str, str] = {}
#: Names of headers that may be sent as they are.
_sendable: set[str] = set()
#: Names that are remembered at most: any client may send new ones.
_MOST: Final = 512


def parse(block: bytes) -> dict[str, str] | None:
    """Read a header block as nats-py does.

    A status line gives ``Status`` and ``Description``.  Of several values of one name the last one counts; lines
    without a colon and names with blanks or outside ASCII are skipped; broken UTF-8 becomes U+FFFD.

    Args:
        block: from ``NATS/1.0`` to the empty line.

    Returns:
        values by name; ``None``: the block has none.
    """
    first, *lines = block.decode("utf-8", "replace").split("\r\n")
    found = _status(first) if len(first) >= _STATUS_AT else {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            continue
        key = _received.get(name)
        if key is None:
            key = name.strip(_BLANK)
            if not key.isascii() or any(map(str.isspace, key)):
                continue
            if len(_received) < _MOST:
                _received[name] = key
        found[key] = value.strip(_BLANK)
    if protocol.is_twice_read(block):
        found[protocol.ANSWERED] = "true"
    return found or None


def _status(line: str) -> dict[str, str]:
    found: dict[str, str] = {}
    status = line[_STATUS_AT : _STATUS_AT + _STATUS_SIZE].strip()
    if status.isdigit():
        found[Header.STATUS.value] = status
    description = line[_STATUS_AT + _STATUS_SIZE + 1 :]
    if description:
        found[Header.DESCRIPTION.value] = description
    return found


def encode(headers: Mapping[str, str]) -> bytes | None:
    """Write a header block.

    Args:
        headers: values by name.

    Returns:
        the block; ``None``: a name or a value needs the checks and changes that nats-py makes.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if (
        lines.count("\r\n") != len(headers)
        or not lines.isascii()
        or not lines.replace("\r\n", "").isprintable()
        or ":  " in lines
        or " \r\n" in lines
        or not _all_sendable(headers)
    ):
        return None
    return f"NATS/1.0\r\n{lines}\r\n".encode("ascii")


def _all_sendable(names: Mapping[str, str]) -> bool:
    if names.keys() <= _sendable:
        return True
    if not all(map(_TOKEN.fullmatch, names)):
        return False
    if len(_sendable) < _MOST:
        _sendable.update(names)
    return True
