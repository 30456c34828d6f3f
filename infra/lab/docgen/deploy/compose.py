"""Compose file: infra/deploy/compose/compose.yaml, generated from the stages, and Prometheus' configuration there."""

from __future__ import annotations

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

_FOLDER: Final = "secured"
_PIPELINE: Final = (PROVISIONER, *(stage.name for stage in STAGES), GATEWAY)


def compose_text() -> str:
    """The compose file."""
    stages = "\n".join(_stage(stage) for stage in STAGES)
    secrets = "\n".join(f"  {key_file(role)}:\n    file: ./{_FOLDER}/{key_file(role)}" for role in _PIPELINE)
    return head("compose") + _HEAD + stages + _REST + "secrets:\n" + secrets + "\n"


def _stage(stage: DeployedStage) -> str:
    settings = "[*settings, *model]" if stage.expensive else "*settings"
    return f"""
  {stage.name}:
    <<: *process
    command: [run, {stage.name}]
    stop_grace_period: {stage.stop_s}s
    environment:
      <<: {settings}
      UNDERSTUDY_GRACE: "{stage.grace_s}"
      UNDERSTUDY_NATS__NKEY: /run/secrets/{key_file(stage.name)}
    secrets: [{key_file(stage.name)}]"""


_HEAD: Final = f"""
# One process for each stage, a broker, PostgreSQL, Prometheus and Grafana; docs/deploy.md has the steps.

x-process: &process
  image: understudy:${{UNDERSTUDY_TAG:-local}}
  build:
    context: ../../..
    dockerfile: infra/deploy/container/Containerfile
  # Keys are readable by their owner only: with other keys than those of this user, nothing starts.
  user: "${{UNDERSTUDY_UID:-{USER}}}:${{UNDERSTUDY_GID:-{USER}}}"
  init: true
  read_only: true
  tmpfs: [/tmp]
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  restart: unless-stopped
  depends_on:
    topology:
      condition: service_completed_successfully

x-settings: &settings
  HOME: /tmp
  UNDERSTUDY_DATA_DIR: /tmp/understudy
  UNDERSTUDY_NATS_URL: nats://nats:4222
  UNDERSTUDY_DATABASE_URL: postgresql://understudy:${{POSTGRES_PASSWORD:?set it in .env}}@database/understudy
  UNDERSTUDY_METRICS: 0.0.0.0:{METRICS_PORT}
  UNDERSTUDY_LOG_FORMAT: json
  USE_LOCAL_MODEL: ${{USE_LOCAL_MODEL:-false}}
  UNDERSTUDY_NARRATIVE__PROVIDER: ${{UNDERSTUDY_NARRATIVE__PROVIDER:-openai}}
  UNDERSTUDY_NARRATIVE__OPENAI__BASE_URL: ${{UNDERSTUDY_NARRATIVE__OPENAI__BASE_URL:-http://host.docker.internal:8000/v1}}
  UNDERSTUDY_NARRATIVE__OPENAI__MODEL: ${{UNDERSTUDY_NARRATIVE__OPENAI__MODEL:-model}}

# Only what calls a provider has its key.
x-model: &model
  UNDERSTUDY_NARRATIVE__OPENAI__API_KEY: ${{UNDERSTUDY_NARRATIVE__OPENAI__API_KEY:-}}

services:
  nats:
    image: docker.io/library/nats:2.15-alpine
    command: [--config, /etc/nats/nats-server.conf]
    volumes:
      - ./nats-server.conf:/etc/nats/nats-server.conf:ro
      - ./{_FOLDER}/nats-server.conf:/etc/nats/users.conf:ro
      - jetstream:/data
    ports: ["127.0.0.1:4222:4222"]
    restart: unless-stopped
    stop_grace_period: 30s
    healthcheck:
      test: [CMD, wget, -q, -O, "-", "http://127.0.0.1:{MONITOR_PORT}/healthz?js-enabled-only=true"]
      interval: 2s
      timeout: 2s
      retries: 15

  # Ends when streams, buckets and consumers are what this version needs.
  topology:
    <<: *process
    command: [topology, apply]
    restart: on-failure
    healthcheck:
      disable: true
    depends_on:
      nats:
        condition: service_healthy
    environment:
      <<: *settings
      UNDERSTUDY_NATS__NKEY: /run/secrets/{key_file(PROVISIONER)}
    secrets: [{key_file(PROVISIONER)}]
"""

_REST: Final = f"""
  gateway:
    <<: *process
    command: [serve]
    stop_grace_period: 30s
    depends_on:
      topology:
        condition: service_completed_successfully
      database:
        condition: service_healthy
    environment:
      <<: *settings
      UNDERSTUDY_GATEWAY__HOST: 0.0.0.0
      UNDERSTUDY_GATEWAY__PORT: "{GATEWAY_PORT}"
      UNDERSTUDY_GATEWAY__TOKENS: required
      UNDERSTUDY_GATEWAY__HOSTS: '["localhost", "gateway"]'
      UNDERSTUDY_NATS__NKEY: /run/secrets/{key_file(GATEWAY)}
    ports: ["127.0.0.1:{GATEWAY_PORT}:{GATEWAY_PORT}"]
    secrets: [{key_file(GATEWAY)}]

  database:
    image: docker.io/library/postgres:17-alpine
    environment:
      POSTGRES_USER: understudy
      POSTGRES_DB: understudy
      POSTGRES_PASSWORD: ${{POSTGRES_PASSWORD:?set it in .env}}
    volumes: ["database:/var/lib/postgresql/data"]
    restart: unless-stopped
    healthcheck:
      test: [CMD, pg_isready, -U, understudy]
      interval: 5s
      timeout: 3s
      retries: 10

  prometheus:
    image: docker.io/prom/prometheus:v3.5.0
    volumes:
      - ./prometheus.yml:/etc/prometheus/prometheus.yml:ro
      - ../prometheus/alerts.yml:/etc/prometheus/alerts.yml:ro
      - prometheus:/prometheus
    ports: ["127.0.0.1:9090:9090"]
    restart: unless-stopped

  grafana:
    image: docker.io/grafana/grafana:12.1.0
    volumes:
      - ./grafana/datasource.yaml:/etc/grafana/provisioning/datasources/understudy.yaml:ro
      - ./grafana/dashboards.yaml:/etc/grafana/provisioning/dashboards/understudy.yaml:ro
      - ../grafana:/var/lib/grafana/dashboards:ro
      - grafana:/var/lib/grafana
    ports: ["127.0.0.1:3000:3000"]
    restart: unless-stopped

volumes:
  jetstream:
  database:
  prometheus:
  grafana:

"""


def prometheus_text() -> str:
    """Prometheus' configuration beside the compose file: it asks each service's name for its processes."""
    jobs = [*(stage.name for stage in STAGES), GATEWAY]
    config: dict[str, Any] = {
        "global": {"scrape_interval": "10s", "evaluation_interval": "10s"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {
                "job_name": "understudy",
                "dns_sd_configs": [
                    {"names": jobs, "type": "A", "port": METRICS_PORT, "refresh_interval": "10s"}
                ],
                "relabel_configs": [{"source_labels": ["__meta_dns_name"], "target_label": "process"}],
            }
        ],
    }
    return head("compose") + yaml.safe_dump(config, sort_keys=False)
