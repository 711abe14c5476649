"""Mails while workers are killed, and the mail server and the database are away in turn."""

import pytest

from tests.mail_faults import campaign

pytestmark = pytest.mark.slow


def test_no_mail_is_lost_and_none_comes_twice_but_of_a_worker_that_was_killed() -> None:
    report = campaign(4)
    statuses = report.asked.statuses
    assert report.kills > 0
    assert report.lost == []
    assert report.differing == []
    assert len(report.doubled) <= report.kills
    # Requests do not notice that no mail can be sent, and are told at once that nothing is stored.
    assert set(statuses["mail server away"]) == {202}
    assert set(statuses["database away"]) <= {202, 503}
    assert statuses["database away"][503] > 0
    assert set(statuses["all there again"]) <= {202, 503}
    assert statuses["all there again"][202] > 0
