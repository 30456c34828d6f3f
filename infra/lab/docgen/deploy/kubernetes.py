"""Kubernetes manifests: infra/deploy/kubernetes, generated from the stages and their consumers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import yaml

from infra.lab.docgen.deploy.facts import (
    GATEWAY,
    GATEWAY_PORT,
    METRICS_PORT,
    MONITOR_PORT,
    PROVISIONER,
    STAGES,
    USER,
    DeployedStage,
    head,
    key_file,
)

Manifest = dict[str, Any]

_NAME: Final = "understudy"
_IMAGE: Final = "understudy:local"
_KEYS: Final = "understudy-keys"
_SETTINGS: Final = "understudy-settings"
_SECRETS: Final = "understudy-secrets"
_KEYS_AT: Final = "/etc/understudy/keys"
#: Asks the broker's servers one by one: followers tell old numbers.
_MONITOR: Final = f"nats-headless.{_NAME}.svc.cluster.local:{MONITOR_PORT}"
#: Account of the streams, as `understudy topology secure` names it.
_ACCOUNT: Final = "PIPELINE"
#: Processes of a stage at most; what fetches from one consumer shares its messages.
_MOST: Final = 10
#: Seconds of less work before a process is stopped: its generation may take as long.
_CALM_S: Final = 300
_NATS: Final = {"app.kubernetes.io/name": "nats"}
_CLIENT_PORT: Final = 4222
_ROUTE_PORT: Final = 6222
#: KEDA's namespace, which alone may ask for the broker's state, beside Prometheus'.
_ASKERS: Final = ("keda", "monitoring")


def stages() -> list[Manifest]:
    """A deployment and a disruption budget for each stage."""
    found: list[Manifest] = []
    for stage in STAGES:
        env = {
            "UNDERSTUDY_GRACE": str(stage.grace_s),
            "UNDERSTUDY_NATS__NKEY": f"{_KEYS_AT}/{key_file(stage.name)}",
        }
        pod = _pod(stage.name, ["run", stage.name], env, role=stage.name, stop_s=stage.stop_s)
        # No `replicas`: they are the autoscaler's, and applying this file again must not undo them.
        found += (_deployment(stage.name, pod), _budget(stage.name))
    return found


def gateway() -> list[Manifest]:
    """The gateway's deployment, service and disruption budget."""
    env = {
        "UNDERSTUDY_GATEWAY__HOST": "0.0.0.0",  # noqa: S104 - inside its pod
        "UNDERSTUDY_GATEWAY__PORT": str(GATEWAY_PORT),
        "UNDERSTUDY_GATEWAY__TOKENS": "required",
        "UNDERSTUDY_GATEWAY__HOSTS": f'["{GATEWAY}", "{GATEWAY}.{_NAME}.svc.cluster.local"]',
        "UNDERSTUDY_NATS__NKEY": f"{_KEYS_AT}/{key_file(GATEWAY)}",
    }
    pod = _pod(GATEWAY, ["serve"], env, role=GATEWAY, stop_s=30)
    pod["containers"][0]["ports"].append({"name": "http", "containerPort": GATEWAY_PORT})
    service = _object("v1", "Service", GATEWAY)
    service["spec"] = {
        "selector": _labels(GATEWAY),
        "ports": [{"name": "http", "port": GATEWAY_PORT, "targetPort": "http"}],
    }
    return [_deployment(GATEWAY, pod, replicas=2), service, _budget(GATEWAY)]


def topology() -> Manifest:
    """A job that ends when streams, buckets and consumers are what this version needs."""
    env = {"UNDERSTUDY_NATS__NKEY": f"{_KEYS_AT}/{key_file(PROVISIONER)}"}
    pod = _pod("topology", ["topology", "apply"], env, role=PROVISIONER, stop_s=30, probed=False)
    job = _object("batch/v1", "Job", "topology")
    job["spec"] = {
        "backoffLimit": 10,
        # The next version's job has the same name.
        "ttlSecondsAfterFinished": 600,
        "template": {
            "metadata": {"labels": _labels("topology")},
            "spec": {**pod, "restartPolicy": "OnFailure"},
        },
    }
    return job


def network() -> list[Manifest]:
    """Who may reach what: the broker's state has no password."""
    inside = {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": _NAME}}}
    askers = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in _ASKERS
    ]
    client = {"podSelector": {"matchLabels": {f"{_NAME}/client": "true"}}}
    nats = _policy("nats", _NATS)
    nats["spec"]["ingress"] = [
        {"from": [inside, client], "ports": [_tcp(_CLIENT_PORT)]},
        {"from": [{"podSelector": {"matchLabels": _NATS}}], "ports": [_tcp(_ROUTE_PORT)]},
        {"from": askers, "ports": [_tcp(MONITOR_PORT)]},
    ]
    stages = _policy("processes", {"app.kubernetes.io/part-of": _NAME})
    stages["spec"]["ingress"] = [{"from": askers, "ports": [_tcp(METRICS_PORT)]}]
    doors = _policy(GATEWAY, _labels(GATEWAY))
    doors["spec"]["ingress"] = [{"ports": [_tcp(GATEWAY_PORT)]}]
    return [nats, stages, doors]


def scaled(stage: DeployedStage) -> Manifest:
    """KEDA's object of a stage: one trigger for each of its consumers."""
    found = _object("keda.sh/v1alpha1", "ScaledObject", stage.name)
    found["spec"] = {
        "scaleTargetRef": {"name": stage.name},
        # Never 0: who finds no work must be there when it comes.
        "minReplicaCount": stage.least,
        "maxReplicaCount": _MOST,
        "pollingInterval": 10,
        "fallback": {"failureThreshold": 3, "replicas": max(2, stage.least)},
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": _CALM_S}},
            }
        },
        "triggers": [
            {
                "type": "nats-jetstream",
                "metadata": {
                    "natsServerMonitoringEndpoint": _MONITOR,
                    "account": _ACCOUNT,
                    "stream": route.stream,
                    "consumer": route.durable,
                    # Parked messages count as waiting ones; twice as many as a process works on start another.
                    "lagThreshold": str(stage.lag),
                },
            }
            for route in stage.routes
        ],
    }
    return found


def _pod(
    name: str, command: list[str], env: dict[str, str], *, role: str, stop_s: int, probed: bool = True
) -> Manifest:
    container: Manifest = {
        "name": name,
        "image": _IMAGE,
        "args": command,
        "envFrom": [{"configMapRef": {"name": _SETTINGS}}, {"secretRef": {"name": _SECRETS}}],
        "env": [{"name": each, "value": value} for each, value in env.items()],
        "volumeMounts": [
            {"name": "keys", "mountPath": _KEYS_AT, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if probed:
        # A frozen process answers nothing: only a question with a time-out finds it.
        asked = {"timeoutSeconds": 1, "periodSeconds": 1, "failureThreshold": 3}
        container["ports"] = [{"name": "metrics", "containerPort": METRICS_PORT}]
        container["startupProbe"] = {**_get("/readyz"), **asked, "failureThreshold": 300}
        container["livenessProbe"] = {**_get("/livez"), **asked}
        container["readinessProbe"] = {**_get("/readyz"), **asked}
    secret = {
        "secretName": _KEYS,
        "defaultMode": 0o440,
        "items": [{"key": key_file(role), "path": key_file(role)}],
    }
    return {
        "terminationGracePeriodSeconds": stop_s,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "keys", "secret": secret}, {"name": "tmp", "emptyDir": {}}],
    }


def _get(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": "metrics"}}


def _deployment(name: str, pod: Manifest, *, replicas: int | None = None) -> Manifest:
    found = _object("apps/v1", "Deployment", name)
    found["spec"] = {
        **({} if replicas is None else {"replicas": replicas}),
        "selector": {"matchLabels": _labels(name)},
        # The next version's process is ready before one of this version stops.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {
                "labels": _labels(name),
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS_PORT)},
            },
            "spec": pod,
        },
    }
    return found


def _budget(name: str) -> Manifest:
    found = _object("policy/v1", "PodDisruptionBudget", name)
    found["spec"] = {"maxUnavailable": 1, "selector": {"matchLabels": _labels(name)}}
    return found


def _policy(name: str, selected: dict[str, str]) -> Manifest:
    found = _object("networking.k8s.io/v1", "NetworkPolicy", name)
    found["spec"] = {"podSelector": {"matchLabels": selected}, "policyTypes": ["Ingress"]}
    return found


def _object(version: str, kind: str, name: str) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": _NAME}}


def _labels(name: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": _NAME}


def _tcp(port: int) -> Manifest:
    return {"protocol": "TCP", "port": port}


#: The generated files.
FILES: Final[dict[str, Callable[[], Iterable[Manifest]]]] = {
    "stages.yaml": stages,
    "gateway.yaml": gateway,
    "topology.yaml": lambda: [topology()],
    "network.yaml": network,
    "scaling.yaml": lambda: map(scaled, STAGES),
}


def text(name: str) -> str:
    """The text of a generated file."""
    manifests = FILES[name]()
    return head("kubernetes") + yaml.dump_all(manifests, Dumper=_Plain, sort_keys=False, width=200)


class _Plain(yaml.SafeDumper):
    """Without anchors: equal parts are written out."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whether a value gets no anchor."""
        del data
        return True
