"""The policies and grants that the migrations make: what `flask doctor` holds against the database.

A migration that changes them changes this list; a test compares it with a migrated database.
"""

from typing import Final

ROLES: Final = ("tasks_app", "tasks_auth", "tasks_maintenance", "tasks_search")

RIGHTS: Final[dict[str, tuple[str, ...]]] = {
    "alembic_version": ("grant tasks_app select",),
    "categories": (
        "grant tasks_app insert",
        "grant tasks_app select",
        "grant tasks_app update",
        "grant tasks_maintenance delete",
        "grant tasks_maintenance select",
        "policy own_rows for all to tasks_app using (user_id = me) check (user_id = me)",
        "policy purge for all to tasks_maintenance using (deleted_at IS NOT NULL)",
    ),
    "idempotency_keys": (
        "grant tasks_app insert",
        "grant tasks_app select",
        "grant tasks_app update",
        "grant tasks_auth delete",
        "grant tasks_auth insert",
        "grant tasks_auth select",
        "grant tasks_auth update",
        "grant tasks_maintenance delete",
        "grant tasks_maintenance select (created_at, key, route, user_id)",
        "policy own_rows for all to tasks_app, tasks_auth using"
        " (u"
        "ser_id = me) check (user_id = me)",
        "policy purge for all to tasks_maintenance using true",
    ),
    "personal_access_tokens": (
        "grant tasks_app delete",
        "grant tasks_app insert",
        "grant tasks_app select"
        " (created_at, expires_at, id, last_four, last_used_at, name, "
        "scopes, user_id, version)",
        "grant tasks_app update (last_used_at, name, version)",
        "grant tasks_auth select (expires_at, id, scopes, token_hash, user_id)",
        "grant tasks_maintenance delete",
        "grant tasks_maintenance select (expires_at, id, user_id)",
        "policy find for select to tasks_auth using (user_id = me)",
        "policy own_rows for all to tasks_app using (user_id = me) check (user_id = me)",
        "policy purge for all to tasks_maintenance using (expires_at < now())",
    ),
    "refresh_tokens": (
        "grant tasks_auth delete",
        "grant tasks_auth insert",
        "grant tasks_auth select",
        "grant tasks_auth update",
        "grant tasks_maintenance delete",
        "grant tasks_maintenance select",
        "policy own_rows for all to tasks_auth using (user_id = me) check (user_id = me)",
        "policy purge for all to tasks_maintenance using (expires_at < now())",
    ),
    "search_tasks()": (
        "grant tasks_app execute",
        "grant tasks_search ownership",
    ),
    "tasks": (
        "grant tasks_app insert",
        "grant tasks_app select",
        "grant tasks_app update",
        "grant tasks_maintenance delete",
        "grant tasks_maintenance select",
        "grant tasks_search select"
        " (created_at, deleted_at, description, id, title, user_id, "
        "version)",
        "policy own_rows for all to tasks_app using (user_id = me) check (user_id = me)",
        "policy purge for all to tasks_maintenance using (deleted_at IS NOT NULL)",
        "policy search for select to tasks_search using true",
    ),
    "users": (
        "grant tasks_app delete",
        "grant tasks_app insert (id)",
        "grant tasks_app select"
        " (change_seq, counted_at, created_at, email, id, name, purged_version, "
        "time_zone, updated_at, used_bytes, used_rows, version)",
        "grant tasks_app update"
        " (change_seq, counted_at, name, time_zone, updated_at, used_bytes, used_rows, version)",
        "grant tasks_auth insert (email, id, name, password_hash)",
        "grant tasks_auth select",
        "grant tasks_auth update (updated_at)",
        "grant tasks_maintenance select"
        " (change_seq, created_at, email, id, name, nfc_version, purged_version, used_bytes, "
        "used_rows, version)",
        "grant tasks_maintenance update (nfc_version, purged_version, used_bytes, used_rows)",
        "policy find for select to tasks_auth, tasks_maintenance using true",
        "policy lock for update to tasks_auth using (id = me)",
        "policy own_row for all to tasks_app using (id = me) check (id = me)",
        "policy purge for update to tasks_maintenance using true check true",
        "policy sign_up for insert to tasks_auth check (id = me)",
    ),
}
"""Of each table, and of each function that runs with its owner's rights; `me` is the user."""
