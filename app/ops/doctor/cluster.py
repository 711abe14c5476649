"""Whether a cluster of Citus is whole: its tables spread over the servers, and these to be had."""

from typing import Final

from app.db.scope import Role
from app.ops.cluster.distribute import DISTRIBUTED
from app.ops.cluster.tables import distributions
from app.ops.doctor.deployment import Deployment, listed
from app.ops.doctor.findings import Finding

HAS_CITUS: Final = "select exists (select from pg_extension where extname = 'citus')"

NODES: Final = """
select concat(nodename, ':', nodeport), citus_check_connection_to_node(nodename, nodeport)
    from pg_dist_node where isactive and noderole = 'primary' and groupid <> 0
"""

MILLISECONDS: Final = 1000
"""How long a server may take to answer."""


def cluster(deployment: Deployment) -> list[Finding]:
    """Whether the database is a cluster, and whether it is whole."""
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
        nodes = deployment.ask(NODES)
    away = [name for name, answers in nodes if not answers]
    if away:
        findings.append(Finding(f"{listed(away)}: not to be reached", "cluster.away"))
    return findings or [Finding(f"users are spread over {len(nodes)} servers, which answer")]
