"""Does an earlier version read what this one writes, or park it as a newer version?

The other direction, this version reading what earlier ones wrote, is tests/unit/test_events.py.  Both versions at work on one
broker, replaced stage by stage, is ``understudy bench upgrade``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from contracts import envelope, pipeline
from tests.releases.__main__ import readers

RELEASES = sorted(Path(__file__).parent.glob("*.json"))
SAMPLES = Path(__file__).parents[1] / "unit" / "event_samples"
EVENTS = sorted(row.event for row in pipeline.ROWS if row.body is not None)


def refusals(earlier: dict[str, Any], later: dict[str, Any]) -> Iterator[str]:
    """What the later schema may write and the earlier one cannot read; both as msgspec makes them."""
    before, after = ({**each.get("$defs", {})} for each in (earlier, later))
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            continue
        if added := set(new.get("enum", ())) - set(old.get("enum", new.get("enum", ()))):
            yield f"{name} has new values: {', '.join(map(str, sorted(added)))}"
        if missing := set(old.get("required", ())) - set(new.get("properties", ())):
            yield f"{name} lacks {', '.join(sorted(missing))}"
        for field, was in old.get("properties", {}).items():
            now = new.get("properties", {}).get(field)
            if now is not None and (kinds := _kinds(now) - _kinds(was)):
                yield f"{name}.{field} may also be {', '.join(sorted(kinds))}"


def _kinds(schema: dict[str, Any]) -> set[str]:
    """Types that a field may have; a struct or enum by its name."""
    if "anyOf" in schema:
        return set[str]().union(*map(_kinds, schema["anyOf"]))
    if "$ref" in schema:
        return {schema["$ref"].rpartition("/")[2]}
    if "enum" in schema:
        return {json.dumps(each) for each in schema["enum"]}
    kinds = schema.get("type", "any")
    return set(kinds) if isinstance(kinds, list) else {kinds}


def test_there_is_a_release_to_compare_with() -> None:
    assert RELEASES


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
@pytest.mark.parametrize("event", EVENTS)
def test_a_release_reads_what_is_written_now_or_parks_it(event: str, release: Path) -> None:
    known = json.loads(release.read_text())
    if event not in known:
        # No consumer of that release asks for its subject.
        return
    now: Any = readers()[event]
    if now["version"] > known[event]["version"]:
        return
    assert list(refusals(known[event]["schema"], now["schema"])) == [], (
        "a reader of that release makes this event a dead letter: raise the event's version, which it parks; while the "
        f"release is not out, record it again: python -m tests.releases {release.stem}"
    )
    body = (SAMPLES / f"{event}.v{now['version']}.json").read_bytes()
    written = msgspec.json.encode(envelope.decode(event, body, {}))
    jsonschema.validate(json.loads(written), known[event]["schema"])


def test_a_new_value_another_type_and_a_missing_field_are_found() -> None:
    code = {"enum": ["A"]}
    body = {"properties": {"code": {"$ref": "#/$defs/Code"}, "at": {"type": "integer"}}, "required": ["at"]}
    earlier = {"$defs": {"Code": code, "Body": body}}
    later = {
        "$defs": {"Code": {"enum": ["A", "B"]}, "Body": {"properties": {"code": body["properties"]["code"]}}}
    }
    assert list(refusals(earlier, later)) == ["Code has new values: B", "Body lacks at"]
    other = {
        **body,
        "properties": {**body["properties"], "at": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    }
    assert list(refusals(earlier, {"$defs": {"Code": code, "Body": other}})) == ["Body.at may also be null"]
    assert list(refusals(earlier, earlier)) == []
