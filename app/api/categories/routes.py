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

    With an `Idempotency-Key`, the same request sent again is answered again and done once.
    """
    once = idempotency_key.requested(category)
    representation, replayed = CATEGORIES.create(current_user_id(), new_id(), category.all(), once)
    return idempotency_key.mark(created(representation), replayed)


@blueprint.get("/<id:category_id>")
@blueprint.output(Category)
def get_category(category_id: str) -> Response:
    """Get a category

    With its ETag, for a later `If-Match`; with `If-None-Match`, 304 while it is the same. With
    `If-Match`, 412 if it is another version by now.
    """
    return resource(CATEGORIES.get(current_user_id(), category_id))


@blueprint.put("/<id:category_id>")
@blueprint.input(CategoryReplace, arg_name="category")
@blueprint.output(Category)
@provisioning
def replace_category(category_id: str, category: CategoryReplace) -> Response:
    """Create or replace a category

    The category is written under an id that the client made, so that it can be sent again safely.
    With `If-None-Match: *` it is only created, with `If-Match` only replaced.
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

    A JSON merge patch: absent fields stay as they are, null clears. Send the category's ETag as
    `If-Match`, and nobody's change is lost.
    """
    return resource(
        CATEGORIES.update(current_user_id(), category_id, patch.given(), preconditions())
    )


@blueprint.delete("/<id:category_id>")
@blueprint.output({}, status_code=204)
def delete_category(category_id: str) -> Response:
    """Delete a category

    Its tasks stay, uncategorised.
    """
    CATEGORIES.delete(current_user_id(), category_id, preconditions())
    return no_content()


@blueprint.post("/<id:category_id>/restore")
@blueprint.output(Category)
def restore_category(category_id: str) -> Response:
    """Restore a category

    Take it out of the trash: it is live again, with a new version. The tasks that were in it when
    it was deleted stay uncategorised. One that is live already is answered as it is. If another
    category has its name by now, the answer is 409: rename or delete that one first. `If-Match`
    takes the version that the trash shows.
    """
    once = idempotency_key.requested({"id": category_id})
    representation, replayed = CATEGORIES.restore(
        current_user_id(), category_id, preconditions(), once
    )
    return idempotency_key.mark(resource(representation), replayed)
