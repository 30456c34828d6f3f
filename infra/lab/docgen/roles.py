"""docs/roles.md: every role at the broker, with what it may publish and subscribe to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contracts import pipeline, roles
from infra.lab.docgen import markdown
from infra.lab.docgen.markdown import code, codes, table

if TYPE_CHECKING:
    from contracts.roles import BrokerRole

_WHO: Final = {
    pipeline.CLIENT: "whoever requests content; with `--client NAME` each has a role of that name and the same rights",
    pipeline.OPERATOR: "every command but `topology apply` and `topology check`",
    roles.GATEWAY: "`understudy serve`, and the console behind it",
    roles.PROVISIONER: "`understudy topology apply` and `check`, and `up` when it starts",
    roles.ALL_STAGES: "a process that hosts every stage",
}


def page() -> str:
    """The page."""
    every = (roles.client(), *roles.pipeline_roles())
    return markdown.page(
        "# Roles at the broker",
        markdown.notice("contracts/roles.py, contracts/pipeline.py and contracts/bucket_table.py"),
        "[`understudy topology secure`](operations.md#an-external-nats-server-or-cluster) gives each of them a key, and the "
        "server these permissions; the broker of `up` has them too. What is not listed is refused. The process of several stages "
        "has a role of their names with `_` between them, and what each of them may do. The [threat "
        "model](threat-model.md) says what the permissions do not prevent.",
        table(("role", "who has it"), [(code(role.name), _who(role)) for role in every]),
        "Every role also subscribes to its own inbox, `_INBOX_<role>.>`, and to no other one. Clients are in accounts of their "
        "own: their subjects are imported from the pipeline's account, and answers cross the border only towards them.",
        *(part for role in every if role.name != roles.ALL_STAGES for part in _role(role)),
    )


def _who(role: BrokerRole) -> str:
    return _WHO.get(role.name, "a process that hosts this stage alone")


def _role(role: BrokerRole) -> tuple[str, ...]:
    groups = {
        "events and letters": [each for each in role.publish if not each.startswith("$")],
        "buckets": [each for each in role.publish if each.startswith(("$KV.", "$O."))],
        "calls of JetStream": [each for each in role.publish if each.startswith("$JS.API.")],
        "acknowledgements": [each for each in role.publish if each.startswith(("$JS.ACK.", "$JS.FC."))],
    }
    rows = [(f"publishes: {name}", codes(found)) for name, found in groups.items() if found]
    if role.subscribe:
        rows.append(("subscribes to", codes(role.subscribe)))
    return f"## {role.name}", table(("", "subjects"), rows)
