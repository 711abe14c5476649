"""Which users Pushpin is to be told of, and when: at most once a second for each of them.

The first news is told at once. One more hint follows a second later: it covers what came meanwhile,
and a client whose request had found nothing just before the commit, but whom Pushpin did not hold
yet when it was told.
"""

from typing import Final

BETWEEN_SECONDS: Final = 1.0
MOST_USERS: Final = 10_000
MOST_AT_ONCE: Final = 500
"""Users in one request: about 75 kB, of the million that Pushpin takes."""


class HintQueue:
    """A bounded queue of users; the caller brings the time, in monotonic seconds, and the lock."""

    def __init__(self, most: int = MOST_USERS) -> None:
        self.most: Final = most
        self.first: Final[dict[str, None]] = {}
        """Users to tell at once, in the order of their news."""
        self.later: Final[dict[str, float]] = {}
        """When the second ends of users who were told, the earliest first."""
        self.owed: Final[dict[str, int]] = {}
        """How many more hints each of these is owed, at the ends of seconds."""

    def __len__(self) -> int:
        return len(self.first) + len(self.later)

    def add(self, user_id: str) -> bool:
        """Note that the user has news; False if there is no room for one more user."""
        if user_id in self.later:
            self.owed[user_id] = 2
        elif user_id not in self.first:
            if len(self) >= self.most:
                return False
            self.first[user_id] = None
        return True

    def take(self, now: float, *, all_of_them: bool = False) -> list[str]:
        """Return users to tell now, MOST_AT_ONCE at most; nobody if it is not time."""
        taken: list[str] = []
        while len(taken) < MOST_AT_ONCE and self.later:
            user_id, at = next(iter(self.later.items()))
            if at > now and not all_of_them:
                break
            del self.later[user_id]
            if owed := self.owed.pop(user_id):
                taken.append(user_id)
                self.owed[user_id] = owed - 1
        while len(taken) < MOST_AT_ONCE and self.first:
            user_id = next(iter(self.first))
            del self.first[user_id]
            taken.append(user_id)
            self.owed[user_id] = 1
        self.later.update(dict.fromkeys(taken, now + BETWEEN_SECONDS))
        return taken

    def seconds(self, now: float) -> float | None:
        """How long it is until something has to be done; None if nothing has."""
        if self.first:
            return 0.0
        return max(0.0, next(iter(self.later.values())) - now) if self.later else None
