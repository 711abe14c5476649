"""Texts are cut into pieces in a time that grows with their length, and not with its square.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# substr() walks through a text from its beginning, as letters of UTF-8 are of several lengths; what
# stands in an array is reached at once. The pieces are the same, so that the index goes on.
PIECES = """
create or replace function text_pieces(owner uuid, title text, description text) returns tsvector
language plpgsql immutable parallel safe cost 10000 as $$
declare
    whole constant text := lower(title || chr(10) || coalesce(description, ''));
    letters constant text[] := string_to_array(whole, null);
    prefix constant text := right(owner::text, 8);
    pieces text[] := '{}';
begin
    for place in 1..cardinality(letters) loop
        pieces[place] := concat(prefix, letters[place], letters[place + 1], letters[place + 2]);
    end loop;
    return array_to_tsvector(pieces);
end $$
"""

PIECES_BEFORE = """
create or replace function text_pieces(owner uuid, title text, description text) returns tsvector
language plpgsql immutable parallel safe cost 10000 as $$
declare
    letters constant text := lower(title || chr(10) || coalesce(description, ''));
    prefix constant text := right(owner::text, 8);
    pieces text[] := '{}';
begin
    for place in 1..length(letters) loop
        pieces[place] := prefix || substr(letters, place, 3);
    end loop;
    return array_to_tsvector(pieces);
end $$
"""


def upgrade() -> None:
    op.execute(PIECES)


def downgrade() -> None:
    op.execute(PIECES_BEFORE)
