"""Two clients of one account, one online and one that syncs: at each quiet moment they agree."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from app.core.ids import new_id
from tests.conftest import Account
from tests.syncing import Copy
from tests.walking import walk

TITLES = st.text("abc", min_size=1, max_size=3)
LIMITS = st.integers(1, 5)


class Machine(RuleBasedStateMachine):
    """Random operations of the online client, and pulls and restarts of the other."""

    account: Account

    tasks = Bundle("tasks")
    categories = Bundle("categories")
    labels = Bundle("labels")

    @initialize()
    def begin(self) -> None:
        self.copy = Copy(self.account)

    @rule(target=tasks, title=TITLES)
    def create_task(self, title: str) -> str:
        return self.account.create_task(title=title)["id"]

    @rule(target=tasks, task=consumes(tasks), category=categories)
    def file_task(self, task: str, category: str) -> str:
        self.account.patch(f"/v1/tasks/{task}", json={"category_id": category})
        return task

    @rule(task=tasks, title=TITLES)
    def change_task(self, task: str, title: str) -> None:
        self.account.patch(f"/v1/tasks/{task}", json={"title": title})

    @rule(task=tasks, title=TITLES)
    def write_task(self, task: str, title: str) -> None:
        self.account.put(f"/v1/tasks/{task}", json={"title": title})

    @rule(target=tasks, titles=st.lists(TITLES, min_size=2, max_size=4), category=categories)
    def send_batch(self, titles: list[str], category: str) -> Any:
        """Some tasks at once, the first of them in a category that may be gone; all or none."""
        ids = [new_id() for _ in titles]
        rest = [{"title": title} for title in titles[1:]]
        bodies = [{"title": titles[0], "category_id": category}, *rest]
        response = self.account.post(
            "/v1/batch",
            json={
                "operations": [
                    {"op": "create", "type": "task", "id": row_id, "body": body}
                    for row_id, body in zip(ids, bodies, strict=True)
                ]
            },
        )
        assert response.status_code in {200, 422}
        return multiple(*ids)

    @rule(task=tasks, other=tasks, place=st.sampled_from(["after", "before", "start", "end"]))
    def move_task(self, task: str, other: str, place: str) -> None:
        body = {"to": place} if place in ("start", "end") else {place: other}
        self.account.post(f"/v1/tasks/{task}/move", json=body)

    @rule(task=tasks, other=tasks)
    def move_in_batch(self, task: str, other: str) -> None:
        moves = [{"to": "start"}, {"after": other}]
        operations = [{"op": "move", "type": "task", "id": task, "body": body} for body in moves]
        self.account.post("/v1/batch", json={"operations": operations})

    @rule(task=tasks, position=st.sampled_from(["0", "V", "V0", "z" * 64]))
    def place_task(self, task: str, position: str) -> None:
        """As a client does that was offline."""
        self.account.patch(f"/v1/tasks/{task}", json={"position": position})

    @rule(task=tasks, parent=tasks)
    def nest_task(self, task: str, parent: str) -> None:
        """Below another one; what is no tree is refused."""
        self.account.patch(f"/v1/tasks/{task}", json={"parent_id": parent})

    @rule(task=tasks)
    def unnest_task(self, task: str) -> None:
        self.account.patch(f"/v1/tasks/{task}", json={"parent_id": None})

    @rule(task=tasks, subtasks=st.sampled_from(["keep", "complete"]))
    def complete_task(self, task: str, subtasks: str) -> None:
        self.account.post(f"/v1/tasks/{task}/complete", json={"subtasks": subtasks})

    @rule(target=tasks, rule=st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;COUNT=2"]))
    def create_repeating_task(self, rule: str) -> str:
        due = {"due_date": "2099-01-01", "recurrence": {"rule": rule}}
        return self.account.create_task(**due)["id"]

    @rule(task=tasks, action=st.sampled_from(["complete", "skip"]))
    def step(self, task: str, action: str) -> None:
        self.account.post(f"/v1/tasks/{task}/{action}", json={})

    @rule(task=tasks)
    def step_in_batch(self, task: str) -> None:
        steps = [{"op": op, "type": "task", "id": task, "body": {}} for op in ("complete", "skip")]
        self.account.post("/v1/batch", json={"operations": steps})

    @rule(target=tasks, minutes=st.integers(0, 3))
    def create_task_with_reminders(self, minutes: int) -> str:
        reminders = [{"before": f"PT{minutes}M"}, {"days_before": minutes, "time": "09:00"}]
        due = {"due_at": "2099-01-01T09:00:00Z", "recurrence": {"rule": "FREQ=DAILY;COUNT=2"}}
        return self.account.create_task(**due, reminders=reminders)["id"]

    @rule(target=tasks, task=consumes(tasks), days=st.integers(0, 2))
    def remind(self, task: str, days: int) -> str:
        """On days before one that it may not have, in the time zone of the account."""
        reminders = [{"days_before": days, "time": "09:00"}, {"at": "2099-01-01T00:00:00Z"}]
        self.account.patch(f"/v1/tasks/{task}", json={"reminders": reminders})
        return task

    @rule(task=tasks, day=st.integers(1, 3))
    def snooze(self, task: str, day: int) -> None:
        self.account.post(f"/v1/tasks/{task}/snooze", json={"until": f"2099-01-0{day}T00:00:00Z"})

    @rule(zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]))
    def travel(self, zone: str) -> None:
        self.account.patch("/v1/me", json={"time_zone": zone})

    @rule(target=labels)
    def create_label(self) -> str:
        return self.account.post("/v1/labels", json={"name": new_id()}).json["id"]

    @rule(label=labels)
    def delete_label(self, label: str) -> None:
        self.account.delete(f"/v1/labels/{label}")

    @rule(task=tasks, label=labels, method=st.sampled_from(["PUT", "DELETE"]))
    def label_task(self, task: str, label: str, method: str) -> None:
        self.account.call(method, f"/v1/tasks/{task}/labels/{label}")

    @rule(task=tasks)
    def delete_task(self, task: str) -> None:
        self.account.delete(f"/v1/tasks/{task}")

    @rule(task=tasks)
    def restore_task(self, task: str) -> None:
        self.account.post(f"/v1/tasks/{task}/restore")

    @rule()
    def empty_trash(self) -> None:
        self.account.delete("/v1/trash")

    @rule(target=categories)
    def create_category(self) -> str:
        return self.account.create_category(name=new_id())["id"]

    @rule(category=categories)
    def delete_category(self, category: str) -> None:
        self.account.delete(f"/v1/categories/{category}")

    @rule(limit=LIMITS)
    def pull(self, limit: int) -> None:
        self.copy.pull(limit=limit)

    @rule()
    def restart(self) -> None:
        """The syncing client forgets all that it knew."""
        self.copy = Copy(self.account)

    @rule(limit=LIMITS)
    def agree(self, limit: int) -> None:
        items = self.copy.pulled(limit=limit).items
        assert items == everything(self.account)
        tasks = [item for item in items.values() if "position" in item]
        tasks.sort(key=lambda task: (task["position"], task["id"]))
        assert tasks == walk(self.account, "/v1/tasks", sort="position")
        coming = walk(self.account, "/v1/reminders")
        assert coming == sorted(coming, key=lambda item: (item["at"], item["task"]["id"]))
        first = {item["task"]["id"]: item["at"] for item in reversed(coming)}
        assert first == {task["id"]: task["remind_at"] for task in tasks if task["remind_at"]}

    @invariant()
    def nothing_is_known_of_others(self) -> None:
        owners = {item["user_id"] for item in self.copy.items.values()}
        assert owners <= {self.account.user_id}

    def teardown(self) -> None:
        if hasattr(self, "copy"):
            self.agree(3)


def everything(account: Account) -> dict[str, dict[str, Any]]:
    """Every live resource by its id, from the listings."""
    paths = ("/v1/tasks", "/v1/categories", "/v1/labels")
    items = [item for path in paths for item in walk(account, path)]
    return {item["id"]: item for item in items}


@pytest.mark.usefixtures("app")
def test_a_client_that_syncs_agrees_with_one_that_is_online(auth: Any) -> None:
    def machine() -> Machine:
        Machine.account = auth()
        return Machine()

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
