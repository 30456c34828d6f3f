"""Exporter and relay: pages of health and metrics, and several processes as one page."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.app import metrics_relay
from infra.host import target_file
from infra.telemetry import exporter as exporter_module
from infra.telemetry import metric_table as table
from infra.telemetry.dispatch import Telemetry, TelemetryEvent
from infra.telemetry.events import DefectFound
from infra.telemetry.exporter import _CLIENTS, Exporter
from infra.telemetry.loop_tick import EVERY_S, LIMIT_S, LoopTick
from infra.telemetry.metrics import ProcessMetrics


def ask(exporter: Exporter, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://{exporter.address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def ask_until_answered(exporter: Exporter, path: str) -> int:
    """The status of a page; places become free a moment after clients leave."""
    while True:
        with suppress(OSError):
            return ask(exporter, path)[0]


class Process:
    """A process whose health a test sets."""

    def __init__(self) -> None:
        self.stuck: tuple[str, ...] = ()
        self.missing: tuple[str, ...] = ()
        self.metrics = ProcessMetrics(("audit",))
        self.defects: list[Exception] = []
        self.exporter = Exporter(
            "127.0.0.1:0",
            [self.metrics],
            live=lambda: self.stuck,
            ready=lambda: self.missing,
            on_defect=self.defects.append,
        )


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    made.exporter.close()


def test_a_healthy_process_answers_200(process: Process) -> None:
    for path in ("/livez", "/readyz"):
        status, body = ask(process.exporter, path)
        assert (status, json.loads(body)) == (200, {"ok": True, "problems": []})


def test_a_process_that_is_not_ready_lives(process: Process) -> None:
    process.missing = ("no broker",)
    assert ask(process.exporter, "/livez")[0] == 200
    status, body = ask(process.exporter, "/readyz")
    assert (status, json.loads(body)["problems"]) == (503, ["no broker"])


def test_a_process_whose_loop_is_stuck_is_neither(process: Process) -> None:
    process.stuck = ("stuck",)
    assert [ask(process.exporter, path)[0] for path in ("/livez", "/readyz", "/metrics")] == [503, 503, 200]


def test_other_pages_do_not_exist(process: Process) -> None:
    assert ask(process.exporter, "/")[0] == 404


def test_a_client_that_sends_nothing_holds_up_nobody(process: Process) -> None:
    with socket.create_connection(("127.0.0.1", process.exporter.port)):
        assert ask(process.exporter, "/livez")[0] == 200


def test_clients_beyond_the_bound_are_turned_away(process: Process) -> None:
    address = ("127.0.0.1", process.exporter.port)
    with ExitStack() as idle:
        held = [idle.enter_context(socket.create_connection(address)) for _ in range(_CLIENTS + 1)]
        # Accepted in order: the last one gets the end of the stream and no answer.
        held[-1].settimeout(10)
        assert held[-1].recv(1) == b""
    assert ask_until_answered(process.exporter, "/livez") == 200


def test_a_client_that_sends_slowly_is_dropped(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "_PATIENCE_S", 0.3)
    stopped = threading.Event()
    with socket.create_connection(("127.0.0.1", process.exporter.port)) as slow:
        slow.settimeout(30)

        def trickle() -> None:
            # Each byte comes well within the time.
            with suppress(OSError):
                while not stopped.wait(0.05):
                    slow.sendall(b"x")

        sender = threading.Thread(target=trickle)
        sender.start()
        try:
            with suppress(ConnectionResetError):
                assert slow.recv(1) == b""
        finally:
            stopped.set()
            sender.join()


def test_a_defect_of_a_check_or_a_collector_is_reported(process: Process) -> None:
    def refresh() -> None:
        raise KeyError("refresh")

    process.missing = 7  # type: ignore[assignment] - no objections at all
    process.metrics.before_scrape.append(refresh)
    assert [ask(process.exporter, path)[0] for path in ("/readyz", "/metrics", "/livez")] == [500, 500, 200]
    assert [type(each) for each in process.defects] == [TypeError, KeyError]


async def test_a_defect_of_a_page_is_emitted_in_the_loop() -> None:
    emitted: list[TelemetryEvent] = []
    found = asyncio.Event()

    def take(event: TelemetryEvent) -> None:
        emitted.append(event)
        found.set()

    def check() -> tuple[str, ...]:
        raise KeyError("check")

    made = exporter_module.exporter("127.0.0.1:0", [], Telemetry(take), ready=check)
    assert made is not None
    try:
        assert (await asyncio.to_thread(ask, made, "/readyz"))[0] == 500
        await asyncio.wait_for(found.wait(), 20)
    finally:
        made.close()
    (event,) = emitted
    assert isinstance(event, DefectFound)
    assert (event.part, type(event.raised)) == ("the exporter", KeyError)


def test_a_stuck_loop_is_noticed_from_another_thread() -> None:
    now = 100.0
    tick = LoopTick(clock=lambda: now)
    assert not tick.problems()
    now += LIMIT_S
    assert not tick.problems()
    now += 0.1
    assert tick.problems() == ("the event loop has not turned for 2.1 s",)


async def test_a_tick_measures_the_lag() -> None:
    now, lags = 100.0, list[float]()
    ticked = asyncio.Event()

    def note(lag: float) -> None:
        lags.append(lag)
        ticked.set()

    tick = LoopTick(note, clock=lambda: now)
    tick.start()
    now += EVERY_S + 0.75
    await ticked.wait()
    tick.stop()
    assert lags == [0.75]
    assert not tick.problems()


async def test_a_blocked_loop_fails_livez_while_it_is_blocked() -> None:
    tick = LoopTick()
    exporter = Exporter("127.0.0.1:0", [], live=tick.problems, on_defect=print)
    tick.start()
    noticed = threading.Event()

    def look() -> None:
        while ask(exporter, "/livez")[0] == 200:
            pass
        noticed.set()

    try:
        assert (await asyncio.to_thread(ask, exporter, "/livez"))[0] == 200
        looking = asyncio.get_running_loop().run_in_executor(None, look)
        # Blocks the loop.
        assert noticed.wait(60)
        await looking
    finally:
        tick.stop()
        exporter.close()


def page(stage: str, count: int) -> str:
    return (
        "# HELP a_total Text with \\n in it.\n# TYPE a_total counter\n"
        f'a_total{{stage="{stage}"}} {count}.0\n'
        "# HELP b Plain.\n# TYPE b gauge\n"
        "b 1.0\n"
        "# HELP c Seconds.\n# TYPE c histogram\n"
        'c_bucket{le="1.0"} 1.0\nc_bucket{le="+Inf"} 1.0\nc_count 1.0\nc_sum 0.5\n'
    )


def test_pages_become_one_with_the_process_as_a_label() -> None:
    own = '# HELP up_ Process.\n# TYPE up_ gauge\nup_{process="x"} 1.0\n'
    merged = metrics_relay.merge([("", own), ("one", page("s", 1)), ('t"w\\o', page("s,process=", 2))])
    families = {family.name: family for family in text_string_to_metric_families(merged)}
    assert {name: family.type for name, family in families.items()} == {
        "up_": "gauge",
        "a": "counter",
        "b": "gauge",
        "c": "histogram",
    }
    assert [(sample.labels, sample.value) for sample in families["a"].samples] == [
        ({"process": "one", "stage": "s"}, 1),
        ({"process": 't"w\\o', "stage": "s,process="}, 2),
    ]
    assert [sample.labels["process"] for sample in families["c"].samples] == ["one"] * 4 + ['t"w\\o'] * 4
    assert [sample.labels for sample in families["up_"].samples] == [{"process": "x"}]


def test_a_relayed_page_has_every_sample_of_the_process(process: Process) -> None:
    process.metrics.counts(table.DEFECTS).add((), 3)
    pages = metrics_relay.fetch_all({"audit": process.exporter.address})
    merged = list(text_string_to_metric_families(metrics_relay.merge(pages.items())))
    direct = list(text_string_to_metric_families(ask(process.exporter, "/metrics")[1]))
    assert [len(family.samples) for family in merged] == [len(family.samples) for family in direct]
    assert {sample.labels.get("process") for family in merged for sample in family.samples} == {"audit"}


def test_a_process_that_does_not_answer_is_left_out(process: Process) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        frozen = f"127.0.0.1:{silent.getsockname()[1]}"
        pages = metrics_relay.fetch_all(
            {"frozen": frozen, "gone": "127.0.0.1:1", "audit": process.exporter.address}
        )
    assert list(pages) == ["audit"]


def test_targets_are_written_for_prometheus_and_removed(tmp_path: Path) -> None:
    targets = [target_file.Target(targets=("127.0.0.1:1",), labels={"process": "audit"})]
    target_file.write(tmp_path, targets)
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text()) == [{"targets": ["127.0.0.1:1"], "labels": {"process": "audit"}}]
    assert file.name == "prometheus-targets.json"
    assert target_file.read(tmp_path) == targets
    target_file.clear(tmp_path)
    assert not list(tmp_path.iterdir())
