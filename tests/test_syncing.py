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
        assert self.copy.pulled(limit=limit).items == everything(self.account)

    @invariant()
    def nothing_is_known_of_others(self) -> None:
        owners = {item["user_id"] for item in self.copy.items.values()}
        assert owners <= {self.account.user_id}

    def teardown(self) -> None:
        if hasattr(self, "copy"):
            self.agree(3)


def everything(account: Account) -> dict[str, dict[str, Any]]:
    """Every live resource by its id, from the listings."""
    items = [*walk(account, "/v1/tasks"), *walk(account, "/v1/categories")]
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
