"""Dashboards and alert rules: valid as files, and every metric and label in them exists."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from infra.lab.bench import collector
from infra.lab.docgen import alerts, dashboards, grafana, promql
from infra.lab.docgen.__main__ import ROOT
from infra.providers.breaker import Breaker
from infra.providers.circuit_metrics import Circuits
from infra.telemetry import metric_table as table
from tests.providers.doubles import Playing

DEPLOY = ROOT / "infra" / "deploy"
#: Of the Prometheus client library, and of Prometheus itself.
OTHERS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "up"}
#: Words of PromQL that look like names.
WORDS = {"sum", "max", "by", "rate", "increase", "le", "count", "or", "vector", "absent", "unless", "on"}
WORDS |= {"min", "avg_over_time", "clamp_min", "histogram_quantile", "process", "s", "m", "h"}
SAMPLES = {name: spec for spec in promql.EVERY for name in spec.samples}


def boards() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana").glob("*.json"))}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for board in boards().values():
        for panel in board["panels"]:
            yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (rule["expr"] for rule in rules())


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_metric_and_label_of_an_expression_exists(expression: str) -> None:
    plain = re.sub(r'"[^"]*"|\[[^]]*\]', "", expression)
    names = set(re.findall(r"[a-z_][a-z0-9_]*", plain)) - WORDS
    metrics = {name for name in names if name in SAMPLES or name in OTHERS}
    assert metrics, "no metric"
    labels = {label for name in metrics & SAMPLES.keys() for label in SAMPLES[name].labels}
    assert names - metrics - labels == set()


def test_a_dashboard_has_panels_that_do_not_overlap() -> None:
    for name, board in boards().items():
        ids = Counter(panel["id"] for panel in board["panels"])
        assert max(ids.values()) == 1, name
        cells = Counter(
            (x, y)
            for place in (panel["gridPos"] for panel in board["panels"])
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )
        assert max(cells.values()) == 1, name
        assert max(x for x, _ in cells) == 23, name


def test_every_panel_asks_the_chosen_data_source() -> None:
    for board in boards().values():
        (variable,) = board["templating"]["list"]
        assert (variable["name"], variable["type"], variable["query"]) == (
            "datasource",
            "datasource",
            "prometheus",
        )
        for panel in board["panels"]:
            for asked in (panel, *panel.get("targets", ())):
                if panel["type"] != "row":
                    assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_uids_stay() -> None:
    assert {name: board["uid"] for name, board in boards().items()} == {
        "understudy-overview.json": "understudy-overview",
        "understudy-providers.json": "understudy-providers",
        "understudy-stages.json": "understudy-stages",
    }


def test_the_files_are_what_the_generator_writes() -> None:
    for board in dashboards.EVERY:
        assert (DEPLOY / "grafana" / f"{board.uid}.json").read_text() == grafana.text(board)
    assert (DEPLOY / "prometheus" / "alerts.yml").read_text() == alerts.text()
    assert (DEPLOY / "prometheus" / "prometheus.yml").read_text() == alerts.scrape_text()
    # What `bench telemetry` says holds for the shipped configuration.
    assert f"scrape_interval: {collector.SCRAPE_S:g}s\n" in alerts.scrape_text()


def test_every_alert_says_what_to_do() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_an_expression_with_a_wrong_label_is_refused() -> None:
    with pytest.raises(ValueError, match="no label node"):
        promql.rate(table.RESULTS, "node")
    with pytest.raises(ValueError, match="no label node"):
        promql.pick(table.RESULTS, node="a")


def test_the_circuits_have_the_labels_that_expressions_use() -> None:
    collector = Circuits([Breaker(Playing("x"), failures=1, cooldown_s=1)])
    for family, spec in zip(
        collector.collect(), (promql.CIRCUIT_STATE, promql.CIRCUIT_FAILURES), strict=True
    ):
        assert family.name == spec.name
        assert {tuple(sample.labels) for sample in family.samples} == {spec.labels}
