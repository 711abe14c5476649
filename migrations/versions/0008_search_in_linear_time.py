"""A search looks through a text in a time that grows with its length, whatever is sought in it.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# ILIKE and position() may compare each letter of the text with each of what is sought. Where that
# would be many comparisons, a regular expression of plain letters is asked instead: PostgreSQL
# makes an automaton of it, which looks at each letter once. It takes longer to make than a short
# text takes to be looked through. Source: PostgreSQL, "Regular Expression Details", `***=`.
CONTAINS = """
create function contains_text(body text, sought text) returns boolean
language sql immutable parallel safe as $$
    select case
        when octet_length(body) * octet_length(sought) < 50000
            then position(sought in lower(body)) > 0
        else lower(body) ~ ('***=' || sought)
    end
$$
"""

# The second parameter is what is sought, in lower case; the name of a parameter cannot be changed.
COMMON = """
create or replace function is_common(owner uuid, pattern text) returns boolean
language plpgsql stable as $$
declare
    earliest timestamptz;
    latest timestamptz;
    hits integer;
    places integer;
begin
    select created_at into earliest from tasks
        where user_id = owner and deleted_at is null order by created_at, id limit 1;
    select created_at into latest from tasks
        where user_id = owner and deleted_at is null order by created_at desc, id desc limit 1;
    select coalesce(sum(here), 0), count(*) filter (where here > 0) into hits, places
        from generate_series(0, 7) place, lateral (
            select count(*) filter (
                where contains_text(title, pattern) or contains_text(description, pattern)
            ) as here
                from (
                    select title, description from tasks
                        where user_id = owner and deleted_at is null
                            and created_at >= earliest + (latest - earliest) * place / 8
                        order by created_at, id limit 25
                ) sample
        ) found;
    return hits >= 10 and places >= 5;
end $$
"""

# The pattern is that of the release before, and not looked at.
SEARCH = """
create or replace function search_tasks(sought text, pattern text, most integer) returns uuid[]
language plpgsql stable security definer as $$
declare
    me constant uuid := nullif(current_setting('app.user_id', true), '')::uuid;
    pieces constant tsquery := pieces_sought(me, sought);
    wanted constant text := lower(sought);
    found uuid[];
begin
    if is_common(me, wanted) then
        return null;
    end if;
    select array_agg(id) into found from (
        select id from tasks
            where user_id = me and deleted_at is null and version <= 500
                and (contains_text(title, wanted) or contains_text(description, wanted))
        union all
        select id from (
            select user_id, id, title, description from tasks
                where deleted_at is null and version > 500
                    and text_pieces(user_id, title, description) @@ pieces
                offset 0
            ) candidate
            where user_id = me
                and (contains_text(title, wanted) or contains_text(description, wanted))
        limit most + 1
    ) matching;
    return case when cardinality(found) > most then null else coalesce(found, '{}') end;
end $$
"""

COMMON_BEFORE = """
create or replace function is_common(owner uuid, pattern text) returns boolean
language plpgsql stable as $$
declare
    earliest timestamptz;
    latest timestamptz;
    hits integer;
    places integer;
begin
    select created_at into earliest from tasks
        where user_id = owner and deleted_at is null order by created_at, id limit 1;
    select created_at into latest from tasks
        where user_id = owner and deleted_at is null order by created_at desc, id desc limit 1;
    select coalesce(sum(here), 0), count(*) filter (where here > 0) into hits, places
        from generate_series(0, 7) place, lateral (
            select count(*) filter (where title ilike pattern or description ilike pattern) as here
                from (
                    select title, description from tasks
                        where user_id = owner and deleted_at is null
                            and created_at >= earliest + (latest - earliest) * place / 8
                        order by created_at, id limit 25
                ) sample
        ) found;
    return hits >= 10 and places >= 5;
end $$
"""

SEARCH_BEFORE = """
create or replace function search_tasks(sought text, pattern text, most integer) returns uuid[]
language plpgsql stable security definer as $$
declare
    me constant uuid := nullif(current_setting('app.user_id', true), '')::uuid;
    wanted constant tsquery := pieces_sought(me, sought);
    found uuid[];
begin
    if is_common(me, pattern) then
        return null;
    end if;
    select array_agg(id) into found from (
        select id from tasks
            where user_id = me and deleted_at is null and version <= 500
                and (title ilike pattern or description ilike pattern)
        union all
        select id from (
            select user_id, id, title, description from tasks
                where deleted_at is null and version > 500
                    and text_pieces(user_id, title, description) @@ wanted
                offset 0
            ) candidate
            where user_id = me and (title ilike pattern or description ilike pattern)
        limit most + 1
    ) matching;
    return case when cardinality(found) > most then null else coalesce(found, '{}') end;
end $$
"""

# What is replaced keeps its owner and who may call it, and loses its settings.
SEARCH_PATH = """
do $$ begin
    execute format('alter function search_tasks set search_path = %I, pg_temp', current_schema());
end $$
"""


def upgrade() -> None:
    op.execute(CONTAINS)
    op.execute(COMMON)
    op.execute(SEARCH)
    op.execute(SEARCH_PATH)


def downgrade() -> None:
    op.execute(COMMON_BEFORE)
    op.execute(SEARCH_BEFORE)
    op.execute(SEARCH_PATH)
    op.execute("drop function contains_text")
