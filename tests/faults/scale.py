"""How large and how long a run is."""

from typing import NamedTuple


class Scale(NamedTuple):
    """The size of a run; durations in seconds."""

    clients: int
    think: tuple[float, float]
    settle: float
    """Before the fault, and after the way back."""

    outage: float
    """How long something is away."""

    silence: float
    """How long something that is there says nothing; longer than the deadline."""

    calm: float
    """How long the run without a fault is."""

    deadline: float
    """REQUEST_DEADLINE"""

    grace: float
    """SHUTDOWN_GRACE"""

    login_retry: int
    """PgBouncer's server_login_retry."""

    slack: float
    """What an answer may take beyond the deadline."""

    health: float
    """What /health may take, and /health/db ten times that, but for one look of twenty."""

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a service that is tried at this size."""
        return {"REQUEST_DEADLINE": f"{self.deadline:g}", "SHUTDOWN_GRACE": f"{self.grace:g}"}


FULL = Scale(
    clients=100,
    think=(0.4, 1.2),
    settle=3.0,
    outage=8.0,
    silence=15.0,
    calm=60.0,
    deadline=10.0,
    grace=5.0,
    login_retry=15,
    slack=1.0,
    health=0.1,
)
QUICK = Scale(
    clients=20,
    think=(0.05, 0.2),
    settle=0.5,
    outage=1.5,
    silence=2.5,
    calm=2.0,
    deadline=2.0,
    grace=1.0,
    login_retry=1,
    slack=10.0,  # the machine may be busy with other tests
    health=0.3,
)
