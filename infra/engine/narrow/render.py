"""A narrowed schema as JSON: what several places share, or what contains itself, is in ``$defs``."""

from __future__ import annotations

from typing import Any, Final, cast

from infra.engine.narrow.scope import Body, Entry

#: Keywords and values of an entry that is written in place however often it is used.
_SMALL: Final = 6


def render(root: Entry) -> dict[str, Any]:
    """The schema that begins with an entry."""
    return _Rendering().whole(root)


class _Rendering:
    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.defs: dict[str, Any] = {}

    def whole(self, root: Entry) -> dict[str, Any]:
        made = self.body(root.body or {})
        return {**made, "$defs": self.defs} if self.defs else made

    def entry(self, entry: Entry) -> dict[str, Any]:
        body = entry.body or {"enum": []}
        shared = entry.recursive or (entry.uses > 1 and not _small(body))
        if not shared:
            return self.body(body)
        name = self.names.get(id(entry))
        if name is None:
            name = self.names[id(entry)] = f"d{len(self.names)}"
            self.defs[name] = {}
            self.defs[name] = self.body(body)
        return {"$ref": f"#/$defs/{name}"}

    def body(self, body: Body) -> dict[str, Any]:
        return {keyword: self.value(keyword, value) for keyword, value in body.items()}

    def value(self, keyword: str, value: Any) -> Any:
        if isinstance(value, Entry):
            return self.entry(value)
        match keyword:
            case "properties" | "patternProperties":
                named = cast("dict[str, Entry | bool]", value).items()
                return {name: each if isinstance(each, bool) else self.entry(each) for name, each in named}
            case "prefixItems":
                return [self.entry(each) for each in cast("list[Entry]", value)]
            case "anyOf":
                return [self.body(each) for each in cast("list[Body]", value)]
            case _:
                return value


def _small(body: Body) -> bool:
    return len(body) <= _SMALL and not {"properties", "prefixItems", "anyOf", "enum", "items"} & body.keys()
