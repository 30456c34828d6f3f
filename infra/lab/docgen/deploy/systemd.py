"""systemd's target with every stage: infra/deploy/systemd/understudy.target."""

from __future__ import annotations

from infra.lab.docgen.deploy.facts import STAGES, head


def target_text() -> str:
    """The target."""
    units = ["understudy-topology.service", *(f"understudy-stage@{stage.name}.service" for stage in STAGES)]
    wants = "\n".join(f"Wants={unit}" for unit in (*units, "understudy-gateway.service"))
    return f"""{head("systemd")}# Everything: systemctl enable --now understudy.target
[Unit]
Description=Understudy
{wants}

[Install]
WantedBy=multi-user.target
"""
