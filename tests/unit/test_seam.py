"""Does our subscriber still fit the FastStream version that it was written for?"""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

from faststream.nats.subscriber.usecases import PullStreamSubscriber

from contracts import pipeline
from infra.app.wiring import assemble
from infra.runner.subscriber import CreditSubscriber
from infra.settings import settings


def test_the_installed_version_is_the_pinned_one() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert f"faststream[nats]=={version('faststream')}" in project["project"]["dependencies"]


def test_the_methods_that_we_override_still_exist() -> None:
    for name in ("_create_subscription", "stop", "add_task"):
        assert hasattr(PullStreamSubscriber, name), f"FastStream has no PullStreamSubscriber.{name} any more"


def test_every_route_registers_with_the_broker(tmp_path: Path) -> None:
    application = assemble(settings.load(data_dir=tmp_path), pipeline.STAGES)
    registered = [one for one in application.broker.subscribers if isinstance(one, CreditSubscriber)]
    assert {(one.route.stage, one.route.stream) for one in registered} == {
        (route.stage, route.stream) for route in pipeline.routes()
    }
