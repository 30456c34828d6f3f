"""Files to deploy with: valid by their schemas, and with every stage, consumer, key and time of the tables."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner
from cloudcoil.models.keda.v1alpha1 import ScaledObject

from contracts import pipeline
from contracts.pipeline import STAGES
from infra.lab.docgen.__main__ import ROOT
from infra.lab.docgen.deploy import facts
from infra.settings.settings import Settings

DEPLOY = ROOT / "infra" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
UNITS = DEPLOY / "systemd"
#: Model calls may take so long, seconds.
LONGEST_S = max(
    Settings().narrative.defaults.freeform.timeout, Settings().narrative.defaults.structuring.timeout
)
#: What kubectl checks; KEDA's objects have a definition of their own.
MANIFESTS = sorted(
    path for path in KUBERNETES.glob("*.yaml") if path.name not in {"kustomization.yaml", "scaling.yaml"}
)


def read_all(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())


def test_the_compose_file_follows_its_specification(tmp_path: Path) -> None:
    path = DEPLOY / "compose" / "compose.yaml"
    schema = ["--builtin-schema", "vendor.compose-spec"]
    checked = CliRunner().invoke(check_jsonschema, [*schema, str(path)])
    assert checked.exit_code == 0, checked.output
    broken = tmp_path / "compose.yaml"
    broken.write_text(path.read_text().replace("stop_grace_period:", "stop_grace:"))
    assert CliRunner().invoke(check_jsonschema, [*schema, str(broken)]).exit_code == 1


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_follow_kubernetes_schemas(path: Path) -> None:
    for manifest in read_all(path):
        kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_a_field_that_kubernetes_does_not_know_is_refused() -> None:
    manifest = read_all(KUBERNETES / "stages.yaml")[0]
    manifest["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_scaled_objects_are_what_keda_defines() -> None:
    for manifest in read_all(KUBERNETES / "scaling.yaml"):
        known = ScaledObject.model_validate(manifest).model_dump(by_alias=True, exclude_none=True)
        # Its model passes over fields that it does not know.
        assert known == manifest


def test_every_resource_is_applied() -> None:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(
        path.name for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml"
    )


def test_each_consumer_scales_its_stage() -> None:
    scaled = {each["metadata"]["name"]: each["spec"] for each in read_all(KUBERNETES / "scaling.yaml")}
    assert set(scaled) == set(STAGES)
    found = {
        (name, trigger["metadata"]["stream"], trigger["metadata"]["consumer"])
        for name, spec in scaled.items()
        for trigger in spec["triggers"]
    }
    assert found == {(route.stage, route.stream, route.durable) for route in pipeline.routes()}
    for name, spec in scaled.items():
        assert spec["minReplicaCount"] >= (2 if pipeline.STAGE_OF[name].unfailing else 1)
        for trigger in spec["triggers"]:
            assert int(trigger["metadata"]["lagThreshold"]) == 2 * Settings().concurrency.of(name)


def _server_of(endpoint: str) -> str:
    return endpoint.partition(".")[0]


def test_keda_asks_the_server_that_leads() -> None:
    services = {
        each["metadata"]["name"]: each
        for each in read_all(KUBERNETES / "nats.yaml")
        if each["kind"] == "Service"
    }
    (stateful,) = (each for each in read_all(KUBERNETES / "nats.yaml") if each["kind"] == "StatefulSet")
    for manifest in read_all(KUBERNETES / "scaling.yaml"):
        for trigger in manifest["spec"]["triggers"]:
            service = _server_of(trigger["metadata"]["natsServerMonitoringEndpoint"])
            # Headless: each server has a name of its own there, and it is the server's own.
            assert services[service]["spec"]["clusterIP"] == "None"
            assert stateful["spec"]["serviceName"] == service


@pytest.mark.parametrize("name", [*STAGES, "gateway"])
def test_a_deployment_is_probed_stopped_in_time_and_confined(name: str) -> None:
    manifests = [*read_all(KUBERNETES / "stages.yaml"), *read_all(KUBERNETES / "gateway.yaml")]
    own = {each["kind"]: each for each in manifests if each["metadata"]["name"] == name}
    pod = own["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        asked = container[probe]
        assert (asked["timeoutSeconds"], asked["periodSeconds"], asked["failureThreshold"]) == (1, 1, 3)
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    environment = {each["name"]: each["value"] for each in container["env"]}
    if name in pipeline.EXPENSIVE:
        assert pod["terminationGracePeriodSeconds"] > float(environment["UNDERSTUDY_GRACE"]) >= LONGEST_S
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    (keys,) = (each["secret"] for each in pod["volumes"] if "secret" in each)
    # Its own key and no other one.
    assert [each["key"] for each in keys["items"]] == [f"understudy-{name}.nk"]
    assert environment["UNDERSTUDY_NATS__NKEY"].endswith(f"/understudy-{name}.nk")
    budget = own["PodDisruptionBudget"]["spec"]
    assert budget["selector"] == own["Deployment"]["spec"]["selector"]
    assert budget["maxUnavailable"] == 1


def test_only_keda_and_monitoring_read_the_brokers_state() -> None:
    (nats,) = (each for each in read_all(KUBERNETES / "network.yaml") if each["metadata"]["name"] == "nats")
    monitor = [
        rule
        for rule in nats["spec"]["ingress"]
        if any(each["port"] == facts.MONITOR_PORT for each in rule["ports"])
    ]
    ((rule),) = monitor
    names = [each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for each in rule["from"]]
    assert names == ["keda", "monitoring"]
    assert len(rule["ports"]) == 1


def test_compose_runs_every_stage_after_the_topology() -> None:
    services = compose()["services"]
    for name in STAGES:
        service = services[name]
        assert service["command"] == ["run", name]
        assert service["depends_on"]["topology"] == {"condition": "service_completed_successfully"}
        assert service["secrets"] == [f"understudy-{name}.nk"]
        grace = float(service["environment"]["UNDERSTUDY_GRACE"])
        assert float(service["stop_grace_period"].removesuffix("s")) > grace
        assert grace >= (LONGEST_S if name in pipeline.EXPENSIVE else 0)
        assert service["read_only"]
    assert services["topology"]["command"] == ["topology", "apply"]
    # Nothing but this machine reaches what is published.
    published = [port for each in services.values() for port in each.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_only_what_calls_a_provider_gets_its_key() -> None:
    services = compose()["services"]
    having = {
        name
        for name, each in services.items()
        if any("API_KEY" in key for key in each.get("environment", {}))
    }
    assert having == pipeline.EXPENSIVE


def test_settings_of_the_files_exist() -> None:
    known = (ROOT / "docs" / "settings.md").read_text()
    texts = [path.read_text() for path in DEPLOY.rglob("*") if path.is_file()]
    named = {each for text in texts for each in re.findall(r"UNDERSTUDY_[A-Z_]+\b", text)}
    of_compose = {"UNDERSTUDY_TAG", "UNDERSTUDY_UID", "UNDERSTUDY_GID"}
    assert {each for each in named - of_compose if f"`{each}`" not in known} == set()


def test_files_that_compose_mounts_exist() -> None:
    folder = DEPLOY / "compose"
    for service in compose()["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith(".") and not source.startswith("./secured/"):
                assert (folder / source).exists(), source


def test_units_stop_in_time_and_start_again() -> None:
    unit = (UNITS / "understudy-stage@.service").read_text()
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    (grace,) = re.findall(r"UNDERSTUDY_GRACE=(\d+)", unit)
    assert float(stop) > float(grace) >= LONGEST_S
    target = (UNITS / "understudy.target").read_text()
    for name in STAGES:
        assert f"Wants=understudy-stage@{name}.service\n" in target


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd is not on this machine: apt-get install systemd")
    for path in UNITS.glob("*.service"):
        text = path.read_text().replace("/opt/understudy/bin/understudy", sys.executable)
        (tmp_path / path.name).write_text(text)
    shutil.copy(UNITS / "understudy.target", tmp_path)
    files = sorted(map(str, tmp_path.iterdir()))
    checked = subprocess.run([verify, "verify", *files], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    # Exposure of 0 to 100; 96 without any restriction.
    confined = [
        verify,
        "security",
        "--offline=true",
        "--threshold=25",
        *(each for each in files if each.endswith(".service")),
    ]
    measured = subprocess.run(confined, capture_output=True, text=True, check=False)
    assert measured.returncode == 0, measured.stdout
    (tmp_path / "understudy-gateway.service").write_text("[Service]\nExecStart=/nowhere\nProtectSystm=yes\n")
    broken = subprocess.run([verify, "verify", *files], capture_output=True, text=True, check=False)
    assert "ProtectSystm" in broken.stderr


def test_the_image_runs_as_nobody_and_builds_nothing() -> None:
    text = (DEPLOY / "container" / "Containerfile").read_text()
    _, final = text.rsplit("\nFROM ", 1)
    assert re.search(rf"^USER {facts.USER}:{facts.USER}$", final, re.MULTILINE)
    assert not re.search(r"apt-get|pip install|gcc", final)
    assert "slim" in re.findall(r"^ARG PYTHON=(.*)$", text, re.MULTILINE)[0]
    ignored = (DEPLOY / "container" / "Containerfile.dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source
