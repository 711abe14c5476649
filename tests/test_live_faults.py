"""Followers by webhook and by stream, while what they depend on is killed in turn."""

import pytest

from tests.live_faults import campaign

pytestmark = pytest.mark.slow


def test_followers_miss_nothing_and_get_it_in_order_whatever_is_killed() -> None:
    found = campaign(8)
    assert found.errors == []
    assert found.called.view == found.streamed.view == found.stored_at_last
    assert found.called.view
    assert found.called.out_of_order == found.streamed.out_of_order == []
    assert found.faults.total() > 0
    assert set(found.statuses) <= {200, 201, 204, 404, 503}
