"""Scene graphs and scenario files: each becomes the other without a loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from infra.authoring import workload
from infra.authoring.scene_graphs import (
    GraphError,
    find_graph_faults,
    parse_graph,
    read_scenario,
    to_yaml,
    write_scenario,
)
from infra.settings import shipped

SCENES = [{"type": "scene", "id": "a", "mood": "calm"}, {"type": "scene", "id": "b"}]
BRIDGE = {"type": "generation", "id": "g", "node": "bridge", "request": {"prompt": "run"}}
EDGES = [{"source": "a", "target": "g"}, {"source": "g", "target": "b"}]


def graph(*more: Any, edges: Any = EDGES, **fields: Any) -> dict[str, Any]:
    return {"nodes": [*SCENES, BRIDGE, *more], "edges": edges, **fields}


def round_trip(text: str) -> Any:
    found = read_scenario(text, "yaml")
    return write_scenario(parse_graph(found.graph), found.nodes.get)


@pytest.mark.parametrize("file", sorted(shipped.SCENARIOS.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_shipped_scenario_comes_back_as_it_was(file: Path) -> None:
    text = file.read_text()
    again = round_trip(text)
    assert again == yaml.safe_load(text)
    assert list(again["request"]["node"]) == list(yaml.safe_load(text)["request"]["node"])
    assert workload.read(to_yaml(again), "yaml") == workload.read(text, "yaml")
    assert workload.read(json.dumps(again), "json") == workload.read(text, "yaml")


def test_nodes_come_back_where_they_were() -> None:
    shared, own, nameless = {"id": "s", "strategy": "once"}, {"id": "o"}, {"strategy": "always"}
    scenario = {
        "scenes": [{"id": "generation_1", "summary": "Über"}, {"id": "b"}],
        "request": {"node": shared, "tags": ["x"]},
        "transitions": [
            {"from": "generation_1", "to": "b", "prompt": "p", "node": own},
            {"from": "b", "to": "generation_1", "node": nameless},
            # Another node with the id of the first.
            {"from": "b", "to": "b", "node": {"id": "s"}},
            {"from": "b", "to": "b"},
        ],
    }
    found = read_scenario(json.dumps(scenario), "json")
    assert found.nodes == {"s": shared, "o": own}
    assert round_trip(json.dumps(scenario)) == scenario
    assert parse_graph(found.graph).node_names() == {"s", "o"}


@pytest.mark.parametrize(
    ("value", "pointer", "said"),
    [
        (graph(SCENES[0]), "", "'a' is given twice"),
        (graph(edges=[{"source": "a", "target": "z"}]), "", "no node 'z'"),
        (graph(edges=[EDGES[0], EDGES[0]]), "", "given twice"),
        (graph(BRIDGE | {"id": "h"}, edges=[{"source": "g", "target": "h"}]), "", "put a scene between"),
        (graph({"type": "scene"}), "/nodes/3/id", "required"),
        (graph({"type": "poem", "id": "p"}), "/nodes/3", "scene"),
        (graph(colour="red"), "/colour", "Extra"),
        (graph(BRIDGE | {"id": "h", "position": {"x": 1e9, "y": 0}}), "/nodes/3/position/x", "less than"),
    ],
)
def test_a_graph_that_is_none_is_refused_with_the_place(value: Any, pointer: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_graph(value)
    faults = find_graph_faults(caught.value)
    assert faults[0][0] == pointer
    assert said in faults[0][1]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (graph(edges=[EDGES[0]]), "'g' has 1 scenes before and 0 after"),
        ({"nodes": SCENES}, "no generation"),
        (graph(BRIDGE | {"id": "h", "node": "gone"}, edges=[*EDGES, {"source": "a", "target": "h"}, {"source": "h", "target": "b"}]), "no node 'gone'"),
    ],
)  # fmt: skip
def test_a_graph_that_is_no_scenario_says_what_it_lacks(value: Any, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        write_scenario(parse_graph(value), {"bridge": {"id": "bridge"}}.get)


@pytest.mark.parametrize(
    "text", ["[{kind: plot, prompt: x}]", "{prompt: x}", "scenes: [", "scenes: []\ntransitions: []"]
)
def test_a_file_that_is_no_scenario_is_refused(text: str) -> None:
    with pytest.raises(workload.WorkloadError):
        read_scenario(text, "yaml")
