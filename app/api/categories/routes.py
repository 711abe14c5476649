"""/v1/categories"""

from typing import Final

from apiflask import APIBlueprint
from flask import Response

from app.api.categories.queries import CATEGORIES, LISTING
from app.api.categories.schemas import (
    COLORLESS,
    Category,
    CategoryCreate,
    CategoryPage,
    CategoryPatch,
    CategoryReplace,
)
from app.auth.policies import current_user_id, provisioning
from app.core.ids import new_id
from app.web import cursors, idempotency_key
from app.web.conditional import created, preconditions, resource
from app.web.cursors import PageQuery
from app.web.response import no_content

blueprint: Final = APIBlueprint("categories", __name__, tag="Categories")


@blueprint.get("")
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(CategoryPage)
def list_categories(query: PageQuery) -> Response:
    """List categories

    A page of the user's categories, oldest first.
    """
    user_id = current_user_id()
    listing = [user_id, "categories"]
    position = cursors.decode(query.cursor, listing)
    rows = LISTING.page(user_id, query.limit, position)
    items = [CATEGORIES.represent(row) for row in rows]
    return cursors.page(rows, items, query.limit, listing)


@blueprint.post("")
@blueprint.input(CategoryCreate, arg_name="category")
@blueprint.output(Category, status_code=201)
@provisioning
def create_category(category: CategoryCreate) -> Response:
    """Create a category

    Send an `Idempotency-Key`, and you can repeat the request: the category is created once.
    """
    once = idempotency_key.requested(category)
    representation, replayed = CATEGORIES.create(current_user_id(), new_id(), category.all(), once)
    return idempotency_key.mark(created(representation), replayed)


@blueprint.get("/<id:category_id>")
@blueprint.output(Category)
def get_category(category_id: str) -> Response:
    """Get a category

    Returns its ETag as well, for a later `If-Match`. With `If-None-Match` the response is 304 if
    the category still has this version, with `If-Match` it is 412 if it has another one.
    """
    return resource(CATEGORIES.get(current_user_id(), category_id))


@blueprint.put("/<id:category_id>")
@blueprint.input(CategoryReplace, arg_name="category")
@blueprint.output(Category)
@provisioning
def replace_category(category_id: str, category: CategoryReplace) -> Response:
    """Create or replace a category

    The client chooses the id, so the request can be repeated safely. With `If-None-Match: *` the
    category is only created, with `If-Match` only replaced.
    """
    representation, new = CATEGORIES.replace(
        current_user_id(), category_id, category.all(), preconditions()
    )
    return resource(representation, 201 if new else 200)


@blueprint.patch("/<id:category_id>")
@blueprint.input(CategoryPatch, arg_name="patch")
@blueprint.output(Category, example=COLORLESS)
def update_category(category_id: str, patch: CategoryPatch) -> Response:
    """Change a category

    A JSON merge patch: absent fields stay as they are, null clears a field. Send the category's
    ETag as `If-Match`, so that you do not overwrite the change of another client.
    """
    return resource(
        CATEGORIES.update(current_user_id(), category_id, patch.given(), preconditions())
    )


@blueprint.delete("/<id:category_id>")
@blueprint.output({}, status_code=204)
def delete_category(category_id: str) -> Response:
    """Delete a category

    Moves it to the trash. Its tasks stay, without a category.
    """
    CATEGORIES.delete(current_user_id(), category_id, preconditions())
    return no_content()


@blueprint.post("/<id:category_id>/restore")
@blueprint.output(Category)
def restore_category(category_id: str) -> Response:
    """Restore a category

    Takes the category out of the trash and gives it a new version. The tasks that were in it stay
    without a category. If another category has the same name by now, the response is 409: rename or
    delete that one first. A category that is not deleted is returned unchanged. `If-Match` compares
    with the version that the trash shows.
    """
    once = idempotency_key.requested({"id": category_id})
    representation, replayed = CATEGORIES.restore(
        current_user_id(), category_id, preconditions(), once
    )
    return idempotency_key.mark(resource(representation), replayed)
