"""The statements that find and rewrite texts for `app.ops.composing`."""

from typing import Final

from sqlalchemy import text

from app.db.statement import Statement

USERS: Final = Statement(
    text("""
select cast(id as text) as id, name, version, change_seq from users
    where id > cast(:after as uuid) and change_seq > nfc_version order by users.id limit :page
""")
)


def pending(table: str, *texts: str) -> Statement:
    """Select a chunk of the user's rows, by version, that have a text which is not ASCII.

    All other texts are in NFC in any case.
    """
    multibyte = " or ".join(f"octet_length({name}) > char_length({name})" for name in texts)
    return Statement(
        text(f"""
select cast(id as text) as id, version, {", ".join(texts)} from {table}
    where user_id = :user_id and version > :after and version <= :until and ({multibyte})
    order by version limit :chunk
""")  # noqa: S608 names of ours
    )


TASKS: Final = pending("tasks", "title", "description")
CATEGORIES: Final = pending("categories", "name")
TOKENS: Final = pending("personal_access_tokens", "name")

# Takes versions for the rows of `changed` and adds their growth to what the owner uses.
COUNTED: Final = """, total as (
    select count(*) as rows, sum(growth) as growth from changed
), bump as (
    update users
        set change_seq = change_seq + total.rows,
            used_bytes = greatest(used_bytes + total.growth, 0)
        from total where users.id = :user_id and total.rows > 0
        returning change_seq - total.rows as version, clock_timestamp() as at
)"""


def rewriting(changed: str, update: str) -> Statement:
    """Join the CTE `changed`, COUNTED and the update of the rows into one statement."""
    return Statement(text(changed + COUNTED + update))


# A row with another version was written meanwhile and is left to the next run.
REWRITE_TASKS: Final = rewriting(
    """
with given as (
    select * from json_to_recordset(cast(:rows as json))
        as given (id uuid, version bigint, title text, description text)
), changed as (
    select given.*, row_number() over (order by given.version) as rank,
            octet_length(given.title) + coalesce(octet_length(given.description), 0)
            - octet_length(tasks.title) - coalesce(octet_length(tasks.description), 0) as growth
        from given join tasks
            on tasks.user_id = :user_id and tasks.id = given.id and tasks.version = given.version
)""",
    """
update tasks
    set title = changed.title, description = changed.description,
        version = bump.version + changed.rank, updated_at = bump.at
    from changed, bump where tasks.user_id = :user_id and tasks.id = changed.id
    returning tasks.id
""",
)
# Only names that no other live category has; of several rows with one new name, the first.
REWRITE_CATEGORIES: Final = rewriting(
    """
with given as (
    select * from json_to_recordset(cast(:rows as json))
        as given (id uuid, version bigint, name text)
), before as (
    select given.*, categories.deleted_at, octet_length(categories.name) as size,
            row_number() over (
                partition by lower(given.name), categories.deleted_at is null
                order by given.version
            ) as place
        from given join categories on categories.user_id = :user_id
            and categories.id = given.id and categories.version = given.version
), changed as (
    select id, name, octet_length(name) - size as growth,
            row_number() over (order by version) as rank
        from before where deleted_at is not null or place = 1 and not exists (
            select from categories other
                where other.user_id = :user_id and other.deleted_at is null
                    and other.id <> before.id and lower(other.name) = lower(before.name)
        )
)""",
    """
update categories
    set name = changed.name, version = bump.version + changed.rank, updated_at = bump.at
    from changed, bump where categories.user_id = :user_id and categories.id = changed.id
    returning cast(categories.id as text) as id
""",
)
# Gives a category the first of `names` that no other live category has.
RENAME_CATEGORY: Final = Statement(
    text("""
with before as (
    select id, octet_length(name) as size from categories
        where user_id = :user_id and id = :id and version = :version and deleted_at is null
), taken as materialized (
    select lower(other.name) as name from categories other, before
        where other.user_id = :user_id and other.deleted_at is null and other.id <> before.id
            and lower(other.name) in (select lower(name) from unnest(cast(:names as text[])) name)
), chosen as (
    select before.id, candidate.name, octet_length(candidate.name) - before.size as growth
        from before, unnest(cast(:names as text[])) with ordinality as candidate (name, place)
        where lower(candidate.name) not in (select name from taken)
        order by candidate.place limit 1
), bump as (
    update users
        set change_seq = change_seq + 1, used_bytes = greatest(used_bytes + chosen.growth, 0)
        from chosen where users.id = :user_id
        returning change_seq as version, clock_timestamp() as at
)
update categories set name = chosen.name, version = bump.version, updated_at = bump.at
    from chosen, bump where categories.user_id = :user_id and categories.id = chosen.id
    returning categories.name
""")
)
REWRITE_TOKEN: Final = Statement(
    text("""
with before as (
    select id from personal_access_tokens
        where user_id = :user_id and id = :id and version = :version
), bump as (
    update users set change_seq = change_seq + 1
        from before where users.id = :user_id returning change_seq as version
)
update personal_access_tokens set name = :name, version = bump.version
    from before, bump
    where personal_access_tokens.user_id = :user_id and personal_access_tokens.id = before.id
    returning personal_access_tokens.id
""")
)
REWRITE_ACCOUNT: Final = Statement(
    text("""
update users
    set name = :name, change_seq = change_seq + 1, version = change_seq + 1,
        updated_at = clock_timestamp()
    where id = :user_id and name = :before returning id
""")
)

# Skips users who are writing right now, so that neither waits for the other.
MARK: Final = Statement(
    text("""
with free as (
    select users.id, given.until from users
        join json_to_recordset(cast(:users as json)) as given (id uuid, until bigint)
            on given.id = users.id
        for no key update of users skip locked
)
update users set nfc_version = free.until from free
    where users.id = free.id and users.nfc_version < free.until returning users.id
""")
)
