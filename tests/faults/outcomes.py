"""What became of the requests."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Outcome(NamedTuple):
    """One request: when it was sent (monotonic), how long it took, and how it ended."""

    sent: float
    seconds: float
    status: int
    """0 where the connection ended before the answer."""

    said: str
    """The problem's type, or the name of the error that ended the connection."""

    @property
    def answered(self) -> float:
        return self.sent + self.seconds

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


class Tally:
    """Outcomes, counted as the table of faults shows them."""

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self.outcomes = list(outcomes)
        self.sent = len(self.outcomes)
        self.succeeded = sum(outcome.succeeded for outcome in self.outcomes)
        self.unavailable = sum(outcome.status == 503 for outcome in self.outcomes)
        self.cut = sum(outcome.status == 0 for outcome in self.outcomes)
        self.others = self.sent - self.succeeded - self.unavailable - self.cut
        self.slowest = max((outcome.seconds for outcome in self.outcomes), default=0.0)

    def usual(self, interval: float) -> float:
        """The seconds within which 19 of 20 would have ended, had one been sent at each interval;
        who waits for an answer sends nothing, and so would see but one that is slow.
        """
        times = sorted(
            outcome.seconds - missed * interval
            for outcome in self.outcomes
            for missed in range(int(outcome.seconds / interval) + 1)
        )
        return times[(len(times) - 1) * 19 // 20]

    def said(self) -> dict[str, int]:
        """How often each answer came that was no success."""
        failures = (outcome for outcome in self.outcomes if not outcome.succeeded)
        return dict(Counter(f"{outcome.status} {outcome.said}" for outcome in failures))

    def first_success_after(self, moment: float) -> float | None:
        """Seconds from the moment to the first success that was answered after it."""
        answered = (outcome.answered for outcome in self.outcomes if outcome.succeeded)
        return min((at - moment for at in answered if at >= moment), default=None)

    def last_failure_after(self, moment: float) -> float:
        """Seconds from the moment to the last answer that was no success; 0 without one."""
        answered = (outcome.answered for outcome in self.outcomes if not outcome.succeeded)
        return max((at - moment for at in answered if at >= moment), default=0.0)
