"""Addresses inside one JSON Schema: its resources, anchors and JSON pointers; nothing outside is ever looked up."""

from __future__ import annotations

from typing import Any, Final, cast
from urllib.parse import unquote, urldefrag, urljoin

import msgspec
from jsonschema import Draft4Validator, Draft6Validator, Draft7Validator

#: Metaschemas that a schema may refer to, with their drafts: they are part of the standard, and none is fetched.
_META: Final[dict[str, tuple[int, Any]]] = {
    "http://json-schema.org/draft-04/schema": (4, Draft4Validator),
    "http://json-schema.org/draft-06/schema": (6, Draft6Validator),
    "http://json-schema.org/draft-07/schema": (7, Draft7Validator),
}
_TOO_LARGE: Final = 1 << 30


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a reference means."""

    value: Any
    #: Where it is in the schema, dotted.
    path: str
    #: Address that references in it begin from.
    base: str
    #: Anchor that names it; ``None``: none does.
    anchor: str | None = None
    #: Draft of the metaschema that holds it.
    draft: int | None = None


class Addresses:
    """The addresses that one schema declares.

    Args:
        root: the schema, decoded.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        #: Subschema of each address, without fragment.
        self.resources: dict[str, dict[str, Any]] = {}
        self._anchors: dict[tuple[str, str], dict[str, Any]] = {}
        self._dynamic: dict[str, int] = {}
        self._passed: set[tuple[int, str]] = set()

    def add(self, said: str, own: dict[str, Any], base: str, *, anchors: bool) -> str:
        """Take down the address of a subschema.

        Args:
            said: value of its ``$id``.
            own: the subschema.
            base: address around it.
            anchors: whether a fragment names an anchor, as in draft-07 and before.

        Returns:
            the address that references in it begin from.
        """
        address, fragment = urldefrag(said)
        if address:
            base = _join(base, address)
            self.resources.setdefault(base, own)
        if fragment and anchors and not fragment.startswith("/"):
            self._anchors.setdefault((base, fragment), own)
        return base

    def anchor(self, base: str, name: str, own: dict[str, Any], *, dynamic: bool) -> bool:
        """Take down an anchor; ``False``: another subschema has it."""
        if dynamic:
            self._dynamic[name] = self._dynamic.get(name, 0) + 1
        return not name or self._anchors.setdefault((base, name), own) is own

    def ambiguous(self, anchor: str | None) -> bool:
        """Whether a dynamic anchor is in several resources, so that the way to it decides."""
        return self._dynamic.get(anchor or "", 0) > 1

    def passed(self, holder: dict[str, Any], word: str) -> bool:
        """Whether a reference leads through a word of an object."""
        return (id(holder), word) in self._passed

    def find(self, said: str, base: str) -> Found | None:
        """What a reference means; ``None``: nothing in this schema.

        Args:
            said: the reference.
            base: address that it begins from.
        """
        address, fragment = urldefrag(_join(base, said))
        root, draft = self.resource(address)
        if root is None:
            return None
        name = unquote(fragment)
        if name and not name.startswith("/"):
            found = self._anchors.get((address, name))
            return None if found is None else Found(value=found, path=name, base=address, anchor=name)
        tokens = [token.replace("~1", "/").replace("~0", "~") for token in name.split("/")[1:]]
        value = self._step(root, tokens)
        path = ".".join(tokens) if draft is None else f"draft-0{draft}.{'.'.join(tokens)}".rstrip(".")
        return None if value is _NOTHING else Found(value=value, path=path, base=address, draft=draft)

    def resource(self, address: str) -> tuple[dict[str, Any] | None, int | None]:
        """The subschema of an address, and its draft where it is a metaschema."""
        known = self.resources.get(address)
        draft, standard = _META.get(address.replace("https:", "http:"), (None, None))
        if known is None and standard is not None:
            # A copy, whose parts are new objects.
            known = msgspec.json.decode(msgspec.json.encode(standard.META_SCHEMA), type=dict[str, Any])
            self.resources[address] = known
        return known, draft

    def _step(self, value: Any, tokens: list[str]) -> Any:
        for token in tokens:
            if isinstance(value, dict) and token in value:
                self._passed.add((id(cast("object", value)), token))
                value = cast("dict[str, Any]", value)[token]
            elif isinstance(value, list) and _index(token) < len(cast("list[Any]", value)):
                value = cast("list[Any]", value)[_index(token)]
            else:
                return _NOTHING
        return value


_NOTHING: Final = object()


def outside(said: str, addresses: Addresses, base: str) -> str:
    """Why a reference means nothing, and what to do."""
    address = urldefrag(_join(base, said))[0]
    if addresses.resource(address)[0] is None:
        return "is outside of this schema, and nothing is fetched; copy it to $defs"
    return "points to nothing in this schema; name one of its $defs"


def _join(base: str, said: str) -> str:
    # The library knows no relative references of urn: and the like.
    return f"{urldefrag(base)[0]}{said}" if said.startswith("#") or not said else urljoin(base, said)


def _index(token: str) -> int:
    """A token as a list's index; one that is none is beyond every list."""
    return int(token) if token.isascii() and token.isdecimal() and len(token) < 8 else _TOO_LARGE  # noqa: PLR2004 - digits
