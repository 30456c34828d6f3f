"""Strangers' text made safe for people to read: controls escaped, length bounded."""

from __future__ import annotations


def printable(text: str, *, most: int | None = None, keep: str = "") -> str:
    r"""A text without anything that a terminal obeys: control, bidirectional and invisible characters are escaped.

    Args:
        text: anything; lone halves of surrogate pairs too.
        most: characters at most; what is longer ends in ``…``.
        keep: characters that stay as they are, such as a line feed.

    Returns:
        The text, each character that is not printable as Python writes it: ``\x1b``, ``\u202e``.
    """
    # Escaping makes a text longer, never shorter.
    head = text if most is None else text[: most + 1]
    if not head.isprintable():
        head = "".join(each if each.isprintable() or each in keep else _escaped(each) for each in head)
    return head if most is None or len(head) <= most else head[: most - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
