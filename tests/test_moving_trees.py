"""The order in which found tasks are written, and what is cut so that they fit."""

from typing import Any

import pytest

from app.api.transfer.moving.fitting import fitted, names_of
from app.api.transfer.moving.found import FoundTask, Losses
from app.api.transfer.moving.trees import NOBODY, TWICE, Trees


def task(source: str, parent: str | None = None, **fields: Any) -> FoundTask:
    """A task of this source, which is its title as well."""
    return FoundTask(line=1, source=source, title=source, parent=parent, **fields)


def ordered(*tasks: FoundTask) -> tuple[list[tuple[str, str | None]], list[str]]:
    """The tasks in order, each with its parent, and what is lost."""
    trees, losses = Trees(), Losses()
    for each in tasks:
        trees.add(each)
    places = [
        (tasks[place.number].source, tasks[place.parent].source if place.parent >= 0 else None)
        for place in trees.in_order(losses)
    ]
    return places, [loss.detail for loss in losses.listed]


def test_parents_come_before_their_children_wherever_they_are_in_the_file() -> None:
    places, lost = ordered(task("c", "b"), task("b", "a"), task("a"), task("d", "a"))
    assert places == [("a", None), ("b", "a"), ("c", "b"), ("d", "a")]
    assert lost == []


def test_siblings_have_the_order_that_the_file_gives_them_list_by_list() -> None:
    places, _ = ordered(
        task("2", order=2.0, category="x"),
        task("b", order="0002", category="y"),
        task("1", order=1.0, category="x"),
        task("a", order="0001", category="y"),
    )
    assert [source for source, _ in places] == ["1", "2", "a", "b"]


def test_a_parent_that_is_not_there_is_told_and_its_task_stays() -> None:
    places, lost = ordered(task("a", "nobody"), task("b", "b"))
    assert places == [("a", None), ("b", None)]
    assert lost == ["The parent is not in the file."] * 2


def test_a_circle_is_cut() -> None:
    places, lost = ordered(task("a", "c"), task("b", "a"), task("c", "b"), task("d"))
    assert places == [("d", None), ("a", None), ("b", "a"), ("c", "b")]
    assert lost == ["The tasks are a circle."]


def test_of_two_tasks_with_one_source_the_last_is_taken() -> None:
    trees, losses = Trees(), Losses()
    for each in (task("a", category="x"), task("b", "a"), task("a", category="y")):
        trees.add(each)
    assert [*trees.in_order(losses)] == [(2, NOBODY), (1, 2)]
    assert [loss.detail for loss in losses.listed] == [TWICE]


def test_what_is_too_deep_comes_to_the_deepest_level() -> None:
    chain = [task(str(n), str(n - 1) if n else None) for n in range(8)]
    places, lost = ordered(*chain)
    assert places[4] == ("4", "3")
    assert places[5:] == [("5", "3"), ("6", "3"), ("7", "3")]
    assert len(lost) == 3


def test_a_chain_of_many_takes_no_recursion() -> None:
    places, _ = ordered(*(task(str(n), str(n - 1) if n else None) for n in range(20_000)))
    assert len(places) == 20_000


@pytest.mark.parametrize(
    ("given", "title", "description"),
    [
        ({"title": "x" * 200}, "x" * 200, None),
        ({"title": "x" * 201}, "x" * 199 + "…", "x" * 201),
        ({"title": "x" * 201, "description": "d"}, "x" * 199 + "…", f"{'x' * 201}\n\nd"),
        ({"title": " \u200b "}, "Untitled", None),
        ({"title": "a", "description": "d" * 5001}, "a", "d" * 5000),
    ],
)
def test_texts_are_cut(given: dict[str, Any], title: str, description: str | None) -> None:
    losses = Losses()
    data = fitted(FoundTask(line=3, source="a", **given), losses)
    assert (data["title"], data["description"]) == (title, description)
    assert all(loss.line == 3 for loss in losses.listed)


def test_names_are_trimmed_cut_and_each_once() -> None:
    losses = Losses()
    found = task("a", category=" " + "c" * 150, labels=["x", " x ", "", "\u200b", "y"])
    assert names_of(found, losses) == ("c" * 100, ["x", "y"])
    assert losses.total == 1
    many = task("a", labels=[str(n) for n in range(200)])
    _, labels = names_of(many, losses)
    assert len(labels) == 50
    assert losses.total == 2


def test_losses_are_counted_and_the_first_kept() -> None:
    losses = Losses()
    for _ in range(1500):
        names_of(task("a", category="c" * 101), losses)
    assert (losses.total, len(losses.listed)) == (1500, 1000)
