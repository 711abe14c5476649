"""HTTP: requests and responses, bodies, conditional requests, cursors, errors and limits."""

from apiflask.schema_adapters import registry

from app.web.body import StrictAdapter

# APIFlask looks an adapter up when a view is decorated, so this comes before any view.
registry.register("pydantic", StrictAdapter)
