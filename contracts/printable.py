"""Printable form of foreign text."""

from __future__ import annotations


def printable(text: str, *, most: int | None = None, keep: str = "") -> str:
    r"""A text without anything that a terminal obeys: control, bidirectional and invisible characters are escaped.

    Args:
        text: any text, including unpaired surrogates.
        most: maximum length; a longer text ends in ``…``.
        keep: characters that stay unescaped, such as a line feed.

    Returns:
        The text, with unprintable characters as Python escapes: ``\x1b``, ``\u202e``.
    """
    # Escaping never shortens a text.
    head = text if most is None else text[: most + 1]
    if not head.isprintable():
        head = "".join(each if each.isprintable() or each in keep else _escaped(each) for each in head)
    return head if most is None or len(head) <= most else head[: most - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
