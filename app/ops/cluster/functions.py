"""The functions by which statements run on a cluster of Citus (app/db/nodes.py).

`act_as` is also the mark by which the service knows that the database is one. Citus passes a SET
LOCAL on to the servers if it stands in a function, and none of `set_config`.
"""

from typing import Final

FUNCTIONS: Final = """
create or replace function clock_of_statement() returns timestamptz immutable
    language sql as 'select clock_timestamp()';

create or replace function wait_at_most(milliseconds integer) returns void
    language plpgsql as $$
begin
    if milliseconds is null then
        set local lock_timeout to default;
    else
        execute format('set local lock_timeout = %s', milliseconds);
    end if;
end
$$;

create or replace function let_constraints_wait(waits boolean) returns void
    language plpgsql as $$
begin
    execute format('set local app.constraints_wait = %L', waits);
end
$$;

create or replace function settle_constraints() returns trigger language plpgsql as $$
declare
    triggers text;
begin
    if current_setting('app.constraints_wait', true) = 't' then
        set constraints all deferred;
        return new;
    end if;
    select string_agg(quote_ident(conname), ', ') into triggers from pg_constraint
        where contype = 't' and conname ~ '^check_parent';
    if triggers is not null then
        execute format('set constraints %s immediate', triggers);
    end if;
    set constraints all immediate;
    return new;
end
$$;

create or replace function act_as(role text, user_id text, timeout integer) returns void
    language plpgsql as $$
begin
    perform set_config('role', role, true),
        set_config('statement_timeout', timeout::text, true),
        set_config('citus.propagate_set_commands', 'local', true);
    execute format('set local app.user_id = %L', user_id);
end
$$;
"""
"""A time is declared immutable so that it may stand in RETURNING; it is read when a statement is
planned, which is after its owner's row was locked. The triggers that check parents go before the
foreign key, as they say which row is wrong; on a server their names are those of its shards.
"""

TRIGGER: Final = """
create or replace trigger settle_constraints before update on users
    for each row when (current_setting('app.constraints_wait', true) <> '')
    execute function settle_constraints();
"""
"""SET CONSTRAINTS does not reach the servers, so the owner's row has it done there."""
