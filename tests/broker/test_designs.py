"""Designs and the figures of nodes in both databases."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, insert

from infra.inspect.archive import find_workspaces
from infra.inspect.node_stats import LATEST, measure_nodes
from infra.stores import designs
from infra.stores.database import GENERATION_LOGS, GENERATIONS
from infra.stores.designs import MOST_VERSIONS, DesignAuthor, DesignChanged, DesignKey, StoredDesign
from tests.broker.audit_fixtures import database_url, engine, postgres

__all__ = ["database_url", "engine", "postgres"]

KEY = DesignKey(kind="node", workspace="red", name="bridge")
ANN = DesignAuthor(at_ms=5, via="token", token_id="ann")  # noqa: S106


def save(engine: Engine, content: str, current: StoredDesign | None = None, **options: Any) -> StoredDesign:
    tag = None if current is None else current.etag
    return designs.save_design(engine, options.pop("key", KEY), content, ANN, expected=tag, **options)


def test_a_draft_is_changed_published_disabled_and_restored(engine: Engine) -> None:
    first = save(engine, "1")
    assert designs.find_published(engine, KEY) is None
    published = designs.publish_design(engine, KEY, ANN, expected=first.etag)
    second = save(engine, "2", published)
    assert save(engine, "2", second) == second
    used = designs.find_published(engine, KEY)
    assert used is not None
    assert (used.version, used.content, used.disabled) == (1, "1", False)
    off = designs.disable_design(engine, KEY, ANN, disabled=True)
    assert off is not None
    assert designs.disable_design(engine, KEY, ANN, disabled=True) == off
    restored = save(engine, "1", off, action="restore")
    versions = designs.list_versions(engine, KEY, limit=9)
    assert [(each.version, each.content, each.action, each.token_id) for each in versions] == [
        (3, "1", "restore", "ann"),
        (2, "2", "save", "ann"),
        (1, "1", "save", "ann"),
    ]
    assert designs.list_published(engine, "node", "red") == {"bridge": "1"}
    tags = {each.etag for each in (first, published, second, off, restored)}
    assert len(tags) == 5
    assert designs.find_design(engine, KEY) == restored
    assert [each.version for each in designs.list_versions(engine, KEY, limit=1, before=3)] == [2]


def test_a_change_of_another_state_is_refused_and_says_the_current_one(engine: Engine) -> None:
    with pytest.raises(DesignChanged, match="does not exist"):
        designs.publish_design(engine, KEY, ANN, expected='"1-x"')
    first = save(engine, "1")
    second = save(engine, "2", first)
    for late in (
        lambda: save(engine, "3", first),
        lambda: save(engine, "3"),
        lambda: designs.publish_design(engine, KEY, ANN, expected=first.etag),
        lambda: designs.remove_design(engine, KEY, expected=first.etag),
    ):
        with pytest.raises(DesignChanged, match="at version 2") as caught:
            late()
        assert caught.value.current == second


def test_a_design_that_is_made_again_has_none_of_its_earlier_tags(engine: Engine) -> None:
    first = save(engine, "1")
    designs.remove_design(engine, KEY, expected=first.etag)
    assert designs.list_versions(engine, KEY, limit=9) == []
    again = designs.save_design(engine, KEY, "1", msgspec.structs.replace(ANN, at_ms=6), expected=None)
    assert (again.version, again.etag != first.etag) == (1, True)


def test_several_drafts_are_stored_all_or_none(engine: Engine) -> None:
    other = msgspec.structs.replace(KEY, name="arch")
    first = save(engine, "1")
    contents = {KEY: "2", other: "1"}
    with pytest.raises(DesignChanged):
        designs.save_designs(engine, contents, ANN, expected={KEY: None, other: None}, action="import")
    assert designs.count_designs(engine, "node", "red") == 1
    stored = designs.save_designs(
        engine, contents, ANN, expected={KEY: first.etag, other: None}, action="import"
    )
    assert [(each.name, each.content) for each in stored] == [("arch", "1"), ("bridge", "2")]


def test_workspaces_and_kinds_have_names_of_their_own_and_pages_are_sorted(engine: Engine) -> None:
    for key in (
        DesignKey(kind="node", workspace="red", name="b"),
        DesignKey(kind="node", workspace="red", name="a"),
        DesignKey(kind="node", workspace="blue", name="a"),
        DesignKey(kind="graph", workspace="red", name="a"),
    ):
        save(engine, f'"{key.kind} {key.workspace}"', key=key)
    rows = designs.list_designs(engine, "node", "red", limit=9)
    assert [(each.name, each.content) for each in rows] == [("a", '"node red"'), ("b", '"node red"')]
    assert [each.name for each in designs.list_designs(engine, "node", "red", limit=1, after="a")] == ["b"]
    assert set(designs.find_designs(engine, "node", "blue", ["a", "b"])) == {"a"}


def test_of_many_writers_one_wins(engine: Engine) -> None:
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            save(engine, str(number))
        except DesignChanged:
            outcomes.append("refused")
        else:
            outcomes.append("stored")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["stored"]
    assert len(designs.list_versions(engine, KEY, limit=9)) == 1


def test_old_versions_go_and_the_published_one_stays(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_VERSIONS["node"] >= 100
    monkeypatch.setattr(designs, "MOST_VERSIONS", {"node": 3})
    current = designs.publish_design(engine, KEY, ANN, expected=save(engine, "0").etag)
    for number in range(1, 6):
        current = save(engine, str(number), current)
    assert [each.version for each in designs.list_versions(engine, KEY, limit=9)] == [6, 5, 4, 1]
    assert designs.find_version(engine, KEY, 2) is None


def result(number: int, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows of a request that ended at a second."""
    request_id = f"r-{number}"
    workspace = fields.pop("workspace", "red")
    common = {"request_id": request_id, "life_ms": 1, "kind": "plot", "status": "success", "shadow": None}
    common |= {"node_id": "bridge", "origin": "live"} | fields
    log = {"latency_ms": number * 10, "cost": 0.5, "attempts": 1, "prompt_tokens": 2, "completion_tokens": 3}
    log |= {"ended_at_ms": number * 1000, "stream": "E", "stream_created_ms": 1, "sequence": number}
    row = {"workspace": workspace, "requested_at_ms": 1, "record": "{}"}
    return common | row, common | log


def test_figures_are_those_of_the_node_in_its_workspace(engine: Engine) -> None:
    rows = [
        *(result(number) for number in range(1, 31)),
        result(31, status="cached", origin="cache"),
        result(32, status="fail_fallback", origin="golden_sample"),
        result(33, status="cancelled", origin="none"),
        result(34, shadow=1),
        result(35, workspace="blue"),
        result(36, workspace=None),
        result(37, node_id="arch"),
    ]
    with engine.begin() as connection:
        connection.execute(insert(GENERATIONS), [each for each, _ in rows])
        connection.execute(insert(GENERATION_LOGS), [each for _, each in rows])
    found = measure_nodes(
        engine, ["bridge", "arch", "none"], workspace="red", since_ms=11_000, until_ms=99_000
    )
    bridge, nothing = found["bridge"], found["none"]
    assert (bridge.requests, bridge.answered, bridge.cache_hits) == (23, 22, 1)
    assert bridge.statuses == {"success": 20, "cached": 1, "fail_fallback": 1, "cancelled": 1}
    assert (bridge.success_rate, bridge.stand_in_rate) == (0.9545, 0.0455)
    assert bridge.latency_ms is not None
    assert (bridge.latency_ms.p50, bridge.latency_ms.p95) == (210, 310)
    assert bridge.cost == pytest.approx(11.5)
    assert len(bridge.latest) == LATEST
    assert [each.request_id for each in bridge.latest[:2]] == ["r-33", "r-32"]
    assert (nothing.requests, nothing.latency_ms, nothing.latest) == (0, None, ())
    assert found["arch"].requests == 1
    late = measure_nodes(engine, ["bridge"], workspace=None, since_ms=98_000, until_ms=99_000)["bridge"]
    assert (late.requests, [each.request_id for each in late.latest]) == (0, ["r-36"])
    assert find_workspaces(engine, ["r-1", "r-35", "r-36", "r-99"]) == {
        "r-1": "red",
        "r-35": "blue",
        "r-36": None,
    }
