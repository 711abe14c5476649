"""One request, one round trip: counted on the wire, isolation and timeout included."""

from collections.abc import Iterator

import pytest

from app import create_app
from app.core.ids import new_id
from tests.conftest import Account, settings_for
from tests.rig.proxy import Proxy


@pytest.fixture
def caller(proxy: Proxy, auth) -> Iterator[Account]:
    """A user whose requests go through the proxy on a connection that is open already."""
    account = auth(create_app(settings_for(proxy.url)))
    assert account.get("/v1/tasks").status_code == 200
    return account


@pytest.mark.parametrize(
    ("collection", "body", "patch"),
    [
        ("tasks", {"title": "Buy milk"}, {"complete": True}),
        ("categories", {"name": "Home"}, {"color": "#00ff00"}),
    ],
)
def test_each_read_and_each_write_of_one_resource_is_one_flight(
    caller: Account, proxy: Proxy, collection: str, body: dict, patch: dict
) -> None:
    made = caller.post(f"/v1/{collection}", json=body).json
    path = f"/v1/{collection}/{made['id']}"
    other = {**body, "name": "Other"} if collection == "categories" else body
    requests = [
        ("GET", path, {}, 200),
        ("GET", f"/v1/{collection}", {}, 200),
        ("PATCH", path, {"json": patch}, 200),
        ("PUT", path, {"json": body}, 200),
        ("PUT", f"/v1/{collection}/{new_id()}", {"json": other}, 201),
        *(
            ("POST", f"{path}/move", {"json": {"to": "start"}, **options}, 200)
            for options in ({}, {"headers": {"Idempotency-Key": "move"}})
            if collection == "tasks"
        ),
        ("DELETE", path, {}, 204),
        ("GET", "/v1/trash", {}, 200),
        ("POST", f"{path}/restore", {}, 200),
        ("POST", f"{path}/restore", {"headers": {"Idempotency-Key": "once"}}, 200),
        ("DELETE", path, {}, 204),
        ("DELETE", f"/v1/trash/{made['id']}", {}, 204),
        ("POST", f"/v1/{collection}", {"json": body}, 201),
        ("GET", f"/v1/{collection}/{new_id()}", {}, 404),
        ("PATCH", f"/v1/{collection}/{new_id()}", {"json": patch}, 404),
    ]
    for method, url, options, status in requests:
        before = proxy.flights
        response = caller.call(method, url, **options)
        assert (response.status_code, proxy.flights - before) == (status, 1), (method, url)


def test_a_keyed_create_is_one_flight_and_so_is_its_replay(caller: Account, proxy: Proxy) -> None:
    for replayed in (None, "true"):
        before = proxy.flights
        response = caller.post(
            "/v1/tasks", json={"title": "Buy milk"}, headers={"Idempotency-Key": "once"}
        )
        assert response.headers.get("Idempotency-Replayed") == replayed
        assert proxy.flights - before == 1


def test_a_page_of_changes_is_one_flight(caller: Account, proxy: Proxy) -> None:
    caller.create_task()
    before = proxy.flights
    assert len(caller.get("/v1/changes").json["items"]) == 1
    assert proxy.flights - before == 1


def test_health_takes_no_flight(caller: Account, proxy: Proxy) -> None:
    before = proxy.flights
    assert caller.get("/health").status_code == 200
    assert proxy.flights == before
