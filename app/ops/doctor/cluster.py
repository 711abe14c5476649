"""Whether a cluster of Citus is complete: every table distributed, and every server reachable."""

from typing import Final

from app.db.nodes import ANSWERS, SERVERS
from app.db.scope import Role
from app.ops.cluster.distribute import DISTRIBUTED
from app.ops.cluster.tables import distributions
from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.findings import Finding

HAS_CITUS: Final = "select exists (select from pg_extension where extname = 'citus')"

MILLISECONDS: Final = 1000
"""How long a server may take to answer."""


def cluster(deployment: Deployment) -> list[Finding]:
    """Whether the database is a cluster, and whether it is complete."""
    if not deployment.is_cluster:
        if deployment.ask(HAS_CITUS) == [(True,)]:
            text = "the database has the extension citus, and is not distributed"
            return [Finding(text, "cluster.undistributed")]
        return [Finding("the database is one server")]
    done = {name for (name,) in deployment.ask(DISTRIBUTED)}
    missing = [name for name, by in distributions().items() if by and name not in done]
    findings = [Finding(f"{name} is not distributed", "cluster.undistributed") for name in missing]
    with deployment.undone():  # as requests connect to the servers
        deployment.ask(f"set local role {Role.APP}")
        deployment.ask(f"set local citus.node_connection_timeout = {MILLISECONDS}")
        servers = deployment.ask(SERVERS)
        away = [
            f"{host}:{port}"
            for host, port in servers
            if deployment.ask(ANSWERS, host, port) != [(True,)]
        ]
    if away:
        findings.append(Finding(f"the coordinator does not reach {listed(away)}", "cluster.away"))
    return findings or [Finding(f"users are spread over {len(servers)} servers, which answer")]
