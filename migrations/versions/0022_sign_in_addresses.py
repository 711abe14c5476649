"""A directory of the addresses that users sign in with.

A cluster spreads users by their id, where an index can neither find one by the address nor keep two
from having the same. This table has a row for each address in use, in lower case, and can be spread
by the address. A cluster has no index `uq_users_email` and none of the triggers below.

Until no release is left that writes addresses to `users` alone, triggers keep the directory right.
The addresses that are there follow when the schema is committed: in small transactions, while the
release before serves. If that is interrupted, run the upgrade again.

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import context, op

from app.db.scope import Role, Scope
from app.db.statement import Statement
from app.ops import composing

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

distributed_by = {"sign_in_addresses": "address"}

CHUNK = 200
FIRST = "00000000-0000-0000-0000-000000000000"

OWN = "user_id = nullif(current_setting('app.user_id', true), '')::uuid"

# Without a foreign key: a cluster has the row of the user on another server.
SIGN_IN_ADDRESSES = f"""
create table sign_in_addresses (
    address text,
    user_id uuid not null,
    constraint pk_sign_in_addresses primary key (address)
);
grant select, insert on sign_in_addresses to tasks_auth;
grant select, insert, delete on sign_in_addresses to tasks_links;
grant select, delete on sign_in_addresses to tasks_app;
grant select on sign_in_addresses to tasks_worker;
alter table sign_in_addresses enable row level security;
alter table sign_in_addresses force row level security;
create policy find on sign_in_addresses for select to tasks_auth, tasks_worker using (true);
create policy sign_up on sign_in_addresses for insert to tasks_auth with check ({OWN});
create policy own_links on sign_in_addresses to tasks_links using ({OWN}) with check ({OWN});
create policy own_row on sign_in_addresses to tasks_app using ({OWN});
"""

# A new address is taken before the row of the user is written, as this release does it: in another
# order, two who want the same address could wait for each other. A statement of this release has
# written or removed the row of the directory already.
TRIGGERS = """
create function take_address() returns trigger language plpgsql as $$
begin
    insert into sign_in_addresses (address, user_id) values (lower(new.email), new.id)
        on conflict do nothing;
    return new;
end $$;
create trigger take_address before insert or update of email on users
    for each row when (new.email is not null) execute function take_address();
create function give_address_up() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or lower(new.email) is distinct from lower(old.email) then
        delete from sign_in_addresses where address = lower(old.email) and user_id = old.id;
    end if;
    return null;
end $$;
create trigger give_address_up after update of email or delete on users
    for each row when (old.email is not null) execute function give_address_up();
"""

# Two look-ups, each by the key that its table is spread by, in one round trip. The second is done
# for an unknown address, too, so that the time does not tell whether there is an account.
FIND_LOGIN = """
create function find_login(wanted text) returns table (
    id uuid, email text, password_hash text, password_changed_at timestamptz,
    disabled_at timestamptz
) language plpgsql stable as $$
declare
    sought constant text := lower(wanted);
    found uuid;
begin
    select user_id into found from sign_in_addresses where address = sought;
    found := coalesce(found, gen_random_uuid());
    return query
        select u.id, u.email, u.password_hash, u.password_changed_at, u.disabled_at from users u
            where u.id = found and u.password_hash is not null;
end $$
"""

# The policy is there as long as addresses are missing.
OPENED = """
grant insert on sign_in_addresses to tasks_maintenance;
create policy fill on sign_in_addresses for insert to tasks_maintenance with check (true);
"""
CLOSED = """
drop policy fill on sign_in_addresses;
revoke insert on sign_in_addresses from tasks_maintenance;
"""
IS_OPEN = """
select exists (select from pg_policies where schemaname = current_schema()
    and tablename = 'sign_in_addresses' and policyname = 'fill')
"""

ALL_FILLED = """
set local role tasks_maintenance;
insert into sign_in_addresses (address, user_id)
    select lower(email), id from users where email is not null on conflict do nothing;
reset role;
"""

# The rows are locked, so that nobody changes an address between it is read and written.
FILLED = Statement(
    sa.text("""
with chunk as (
    select id, email from users where id > cast(:after as uuid) and email is not null
        order by id limit :chunk for no key update
), filled as (
    insert into sign_in_addresses (address, user_id) select lower(email), id from chunk
        on conflict do nothing
)
select cast(id as text) as id from chunk order by chunk.id desc limit 1
""")
)


def upgrade() -> None:
    for statements in (SIGN_IN_ADDRESSES, TRIGGERS, FIND_LOGIN, OPENED):
        op.execute(statements)
    op.execute("revoke execute on function find_login from public")
    op.execute("grant execute on function find_login to tasks_auth")
    if context.is_offline_mode():
        op.execute(ALL_FILLED)
        op.execute(CLOSED)


def finish(connection: sa.Connection) -> None:
    """Give each address that is there its row."""
    with connection.begin():
        is_open = connection.scalar(sa.text(IS_OPEN))
    if not is_open:
        return
    run, last = composing.through(connection), FIRST
    while rows := run(Scope(Role.MAINTENANCE), FILLED, after=last, chunk=CHUNK):
        last = rows[0].id
    connection.commit()
    with connection.begin():
        connection.execute(sa.text(CLOSED))


def downgrade() -> None:
    op.execute("drop trigger if exists give_address_up on users")
    op.execute("drop trigger if exists take_address on users")
    op.execute("drop function give_address_up")
    op.execute("drop function take_address")
    op.execute("drop function find_login")
    op.drop_table("sign_in_addresses")
