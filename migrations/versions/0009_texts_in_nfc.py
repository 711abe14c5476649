"""Lines are trimmed of one list of white space, and texts of the release before come to be in NFC.

`users.nfc_version` is up to which of a user's versions that is done. The rows follow when the
schema is committed, as they may be many: in small transactions, while the release before serves.

Revision ID: 0009
Revises: 0008
"""

import click
import psycopg2
import sqlalchemy as sa
from alembic import context, op

from app.ops import composing

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LINES = (
    ("users", "name", 100),
    ("categories", "name", 100),
    ("tasks", "title", 200),
    ("personal_access_tokens", "name", 100),
)

OTHER = (
    r"[^\u0009-\u000d\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028-\u2029\u202f\u205f\u3000]"
)

RIGHTS = """
grant select (change_seq, version, nfc_version), update (nfc_version) on users
    to tasks_maintenance;
grant update (name, version) on personal_access_tokens to tasks_app;
"""

UNVALIDATED = """
select conrelid::regclass::text as relation, conname as name from pg_constraint
    where not convalidated and connamespace = current_schema()::regnamespace order by 1, 2
"""


def upgrade() -> None:
    op.add_column(
        "users", sa.Column("nfc_version", sa.BigInteger, nullable=False, server_default="-1")
    )
    op.execute(RIGHTS)
    replace_rules(f"{{0}} ~ '^({OTHER}.*)?{OTHER}$'")
    follow(bring_to_nfc)


def downgrade() -> None:
    """Texts that are in NFC are right for the release before as well."""
    replace_rules("{0} = btrim({0})")
    op.execute("revoke update (name, version) on personal_access_tokens from tasks_app")
    op.execute("revoke select (change_seq, version) on users from tasks_maintenance")
    op.drop_column("users", "nfc_version")


def replace_rules(trimmed: str) -> None:
    """Change what is checked of each line, and look at the rows that are there afterwards.

    The table is locked for no longer than it takes to note the rule.
    """
    for table, column, longest in LINES:
        name = f"ck_{table}_{column}"
        rule = f"char_length({column}) between 1 and {longest} and {trimmed.format(column)}"
        op.execute(f"alter table {table} drop constraint {name}")
        op.execute(f"alter table {table} add constraint {name} check ({rule}) not valid")
        if context.is_offline_mode():
            op.execute(f"alter table {table} validate constraint {name}")
    follow(validate_rules)


def follow(work: object) -> None:
    """Have this done once the migration is committed."""
    if not context.is_offline_mode():
        context.config.attributes.setdefault("afterwards", []).append(work)


def validate_rules(connection: sa.Connection) -> None:
    """Look whether the rows that were there keep the rules; reads and writes go on meanwhile."""
    with connection.begin():
        found = connection.execute(sa.text(UNVALIDATED)).all()
    for rule in found:
        with connection.begin():
            connection.execute(
                sa.text(f"alter table {rule.relation} validate constraint {rule.name}")
            )


def bring_to_nfc(connection: sa.Connection) -> None:
    """Bring the texts that are there to NFC, and say what was done."""
    try:
        for line in composing.compose(composing.through(connection)):
            click.echo(line)
    except psycopg2.Error as error:
        said = str(error).strip().splitlines()[0]
        raise click.ClickException(
            f"migrated, but some texts are not in NFC yet: {said}: run `flask purge`"
        ) from error
