"""Tasks repeat by rules.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

WEEKDAY_OF = r"""
create function weekday_of(name text) returns integer
language sql immutable strict parallel safe as $$
    select strpos('MOTUWETHFRSASU', name) / 2 + 1
$$
"""

OF_PLACES = r"""
create function of_places(days date[], places integer[]) returns date[]
language sql immutable parallel safe as $$
    select array(
        select day from unnest(days) with ordinality each (day, place)
            where place = any (places) or place - cardinality(days) - 1 = any (places)
            order by place
    )
$$
"""

# UNTIL in local time; a day ends with its last second.
END_OF_RULE = r"""
create function end_of_rule(rule text, zone text) returns timestamp
language plpgsql stable as $$
declare
    given constant text := substring(rule from 'UNTIL=([\dTZ]+)');
begin
    if length(given) = 8 then
        return given::date + time '23:59:59';
    elsif given like '%Z' then
        return given::timestamptz at time zone zone;
    end if;
    return given::timestamp;
end $$
"""

# The occurrences of a rule (app/api/tasks/rules.py) behind `after`, at most `many`, for a hundred
# years: local times, without a time zone. It looks at one month after the other, and at their days,
# so no rule takes longer than a walk through these years. With COUNT the walk begins at the start.
# Sets of BYSETPOS are those of whole weeks, months and years.
# Source: RFC 5545, section 3.3.10; RFC 7529, section 4, for the overflow.
OCCURRENCES_OF = r"""
create function occurrences_of(
    rule text, start timestamp, overflow text, zone text, after timestamp, many integer,
    no_later timestamp default null
) returns timestamp[]
language plpgsql stable as $$
declare
    freq constant text := substring(rule from 'FREQ=([A-Z]+)');
    every constant integer := coalesce(substring(rule from 'INTERVAL=(\d+)'), '1');
    total constant integer := substring(rule from 'COUNT=(\d+)');
    ends constant timestamp := least(end_of_rule(rule, zone), no_later);
    months integer[] := string_to_array(substring(rule from 'BYMONTH=([\d,]+)'), ',');
    month_days integer[] := string_to_array(substring(rule from 'BYMONTHDAY=([\d,-]+)'), ',');
    by_day constant text[] := string_to_array(substring(rule from 'BYDAY=([\dA-Z,-]+)'), ',');
    places constant integer[] := string_to_array(substring(rule from 'BYSETPOS=([\d,-]+)'), ',');
    nearest_place constant integer := (select min(abs(place)) from unnest(places) place);
    weekdays integer[] := array(
        select distinct weekday_of(right(name, 2)) from unnest(by_day) name
    );
    -- Eight times the ordinal and the weekday.
    by_ordinal constant integer[] := array(
        select coalesce(nullif(left(name, -2), ''), '0')::integer * 8 + weekday_of(right(name, 2))
            from unnest(by_day) name
    );
    has_ordinals constant boolean := not by_ordinal <@ weekdays;
    of_year constant boolean := freq = 'YEARLY' and months is null;
    in_sets constant boolean := places is not null and freq <> 'DAILY';
    monday constant date := '0001-01-01';
    first constant date := start;
    time_of_day constant time := start;
    week constant date := first - (extract(isodow from first)::integer
        - weekday_of(coalesce(substring(rule from 'WKST=(..)'), 'MO')) + 7) % 7;
    since constant date := greatest(start, after);
    last constant date := least(since + interval '100 years', date '9999-12-31', no_later);
    -- The last set must be whole.
    horizon constant date := case when in_sets then least(
        date_trunc('year', (last + 7)::timestamp) + interval '1 year - 1 day', date '9999-12-31')
        else last end;
    month date;
    number integer;
    length integer;
    begins date;
    next_begins date;
    wday integer;
    nth integer;
    nth_last integer;
    day date;
    period integer;
    found date[] := '{}';
    ready date[];
    latest date := first - 1;
    seen integer := 0;
    made timestamp[] := '{}';
begin
    if freq = 'WEEKLY' and by_day is null then
        weekdays := array[extract(isodow from first)];
    elsif freq in ('MONTHLY', 'YEARLY') and by_day is null and month_days is null then
        month_days := array[extract(day from first)];
        if of_year then
            months := array[extract(month from first)];
        end if;
    end if;
    month := case freq when 'WEEKLY' then week else first end;
    if total is null then
        month := greatest(month, since - 31);
    end if;
    month := date_trunc(case freq when 'YEARLY' then 'year' else 'month' end, month::timestamp);
    while month <= horizon loop
        number := extract(month from month);
        length := (month + interval '1 month')::date - month;
        ready := '{}';
        if (months is null or number = any (months)) and (case freq
            when 'MONTHLY' then ((extract(year from month) - extract(year from first)) * 12
                + number - extract(month from first))::integer % every = 0
            when 'YEARLY' then (extract(year from month) - extract(year from first))::integer
                % every = 0
            else true
        end) then
            if has_ordinals then
                begins := case when of_year then date_trunc('year', month::timestamp)
                    else month end;
                next_begins := begins + case when of_year then interval '1 year'
                    else interval '1 month' end;
            end if;
            for n in 1..length + 1 loop
                if n <= length then
                    continue when month_days is not null and not n = any (month_days)
                        and not n - length - 1 = any (month_days);
                    day := month + (n - 1);
                else
                    -- What this month lacks.
                    exit when overflow = 'skip' or freq in ('DAILY', 'WEEKLY')
                        or month_days is null or not length < any (month_days);
                    day := month + case overflow when 'backward' then length - 1 else length end;
                    if day >= next_begins then
                        begins := day;
                        next_begins := day + interval '1 month';
                    end if;
                end if;
                continue when overflow <> 'skip' and n in (1, length + 1)
                    and (day = any (found) or day = any (ready));
                if freq = 'DAILY' then
                    continue when (day - first) % every <> 0;
                elsif freq = 'WEEKLY' then
                    continue when day < week or (day - week) / 7 % every <> 0;
                    if in_sets and (day - week) / 7 <> period then
                        if cardinality(found) >= nearest_place then
                            ready := ready || of_places(found, places);
                        end if;
                        found := '{}';
                    end if;
                    period := (day - week) / 7;
                end if;
                if cardinality(weekdays) > 0 then
                    wday := (day - monday) % 7 + 1;
                    continue when not wday = any (weekdays);
                    if has_ordinals then
                        nth := (day - begins) / 7 + 1;
                        nth_last := (next_begins - day - 1) / 7 + 1;
                        continue when not (wday = any (by_ordinal)
                            or wday + 8 * nth = any (by_ordinal)
                            or wday - 8 * nth_last = any (by_ordinal));
                    end if;
                end if;
                if in_sets then
                    found := found || day;
                else
                    ready := ready || day;
                end if;
            end loop;
        end if;
        if in_sets and (freq = 'MONTHLY' or freq = 'YEARLY' and number = 12
            or month + length > horizon)
        then
            if cardinality(found) >= nearest_place then
                ready := ready || of_places(found, places);
            end if;
            found := '{}';
        end if;
        foreach day in array ready loop
            continue when day <= latest or day > last;
            latest := day;
            exit when day + time_of_day > ends;
            seen := seen + 1;
            if after is null or day + time_of_day > after then
                made := made || (day + time_of_day);
            end if;
            exit when cardinality(made) >= many or seen = total;
        end loop;
        exit when cardinality(made) >= many or seen = total or latest + time_of_day > ends;
        month := month + length;
    end loop;
    return made;
end $$
"""

# An instant of a local time: one that a change of clocks left out is later by as much, of one that
# came twice it is the first. PostgreSQL takes the second.
INSTANT_OF = """
create function instant_of(at timestamp, zone text) returns timestamptz
language plpgsql stable as $$
declare
    outside constant text := current_setting('TimeZone');
    instant timestamptz;
    earlier timestamptz;
begin
    perform set_config('TimeZone', zone, true);
    instant := at;
    earlier := (at - interval '24 hours')::timestamptz + interval '24 hours';
    if earlier < instant and earlier::timestamp = at then
        instant := earlier;
    end if;
    perform set_config('TimeZone', outside, true);
    return instant;
end $$
"""

LOCAL_OF = """
create function local_of(at timestamptz, zone text) returns timestamp
language plpgsql stable as $$
declare
    outside constant text := current_setting('TimeZone');
    made timestamp;
begin
    perform set_config('TimeZone', zone, true);
    made := at;
    perform set_config('TimeZone', outside, true);
    return made;
end $$
"""

HAS_TIME = """
create function has_time(recurrence jsonb) returns boolean
language sql immutable strict parallel safe as $$
    select recurrence->>'start' like '%T%'
$$
"""

# As clients see it.
OCCURRENCE_TEXT = """
create function occurrence_text(occurrence timestamp, recurrence jsonb) returns text
language sql immutable strict parallel safe as $$
    select to_char(occurrence,
        case when has_time(recurrence) then 'YYYY-MM-DD"T"HH24:MI:SS' else 'YYYY-MM-DD' end)
$$
"""

ZONE_OF_RECURRENCE = """
create function zone_of_recurrence(recurrence jsonb) returns text
language sql stable strict as $$
    select known_zone(recurrence->>'time_zone', 'UTC')
$$
"""

# The occurrence that a task is at which is due then: the last one that is not later, or its due
# time where there is none.
OCCURRENCE_AT = """
create function occurrence_at(recurrence jsonb, due timestamp) returns timestamp
language plpgsql stable as $$
declare
    days integer;
    found timestamp[];
begin
    if recurrence->>'after' = 'schedule' then
        foreach days in array array[0, 31, 366, 3000, 36525] loop
            found := occurrences_of(recurrence->>'rule', (recurrence->>'start')::timestamp,
                recurrence->>'overflow', recurrence->>'time_zone',
                due - make_interval(days => days, secs => 0.000001), days + 1, due);
            exit when cardinality(found) > 0;
        end loop;
    end if;
    return coalesce(found[cardinality(found)], due);
end $$
"""

# The occurrence behind `present`, and not before `now` unless missed ones are kept. Counted from
# the day on which a task is completed, it is the first behind that day.
NEXT_OCCURRENCE = """
create function next_occurrence(
    recurrence jsonb, present timestamp, keeps_missed boolean, now timestamptz
) returns timestamp
language plpgsql stable as $$
declare
    rule constant text := recurrence->>'rule';
    overflow constant text := recurrence->>'overflow';
    zone constant text := zone_of_recurrence(recurrence);
    start constant timestamp := recurrence->>'start';
    here constant timestamp := local_of(now, zone);
    behind timestamp := present;
begin
    if recurrence->>'after' = 'completion' then
        return (occurrences_of(rule, here::date + start::time, overflow, zone,
            here::date + start::time, 1))[1];
    end if;
    if not keeps_missed then
        behind := greatest(behind, case when has_time(recurrence) then here
            else here::date - interval '1 day' end);
    end if;
    return (occurrences_of(rule, start, overflow, zone, behind, 1))[1];
end $$
"""

# The occurrences behind `present`, if each is completed in time.
OCCURRENCES_AHEAD = """
create function occurrences_ahead(
    recurrence jsonb, present timestamp, many integer, now timestamptz
) returns timestamp[]
language plpgsql stable strict as $$
declare
    zone constant text := zone_of_recurrence(recurrence);
    start timestamp := recurrence->>'start';
begin
    if recurrence->>'after' = 'completion' then
        start := greatest(present::date, local_of(now, zone)::date) + start::time;
        present := start;
    end if;
    return occurrences_of(recurrence->>'rule', start, recurrence->>'overflow', zone, present, many);
end $$
"""

# What a client leaves out is the account's time zone, and the present due time as the start. A rule
# that stays as it is keeps its start.
SETTLE_RECURRENCE = """
create function settle_recurrence() returns trigger language plpgsql as $$
declare
    given jsonb := jsonb_strip_nulls(new.recurrence);
    zone text;
    due timestamp;
begin
    if new.recurrence is null then
        new.occurrence := null;
        return new;
    end if;
    if new.due_date is null and new.due_at is null then
        raise 'what repeats is due' using errcode = '23514', constraint = 'ck_tasks_due_required';
    end if;
    if old.recurrence || given = old.recurrence then
        new.recurrence := old.recurrence;
    else
        zone := coalesce(given->>'time_zone',
            (select known_zone(time_zone, 'UTC') from users where id = new.user_id));
        due := coalesce(new.due_date, date_trunc('second', local_of(new.due_at, zone)));
        new.recurrence := jsonb_build_object(
            'rule', given->>'rule', 'overflow', given->>'overflow', 'after', given->>'after',
            'time_zone', zone,
            'start', coalesce(given->>'start', to_char(due, case when new.due_at is null
                then 'YYYY-MM-DD' else 'YYYY-MM-DD"T"HH24:MI:SS' end)));
        if (new.recurrence->>'start')::timestamp < due - interval '100 years' then
            raise 'the start is too long ago'
                using errcode = '23514', constraint = 'ck_tasks_recurrence_age';
        end if;
        if occurrences_of(new.recurrence->>'rule', (new.recurrence->>'start')::timestamp,
                new.recurrence->>'overflow', zone, null, 1) = '{}' then
            raise 'the rule has no occurrence'
                using errcode = '23514', constraint = 'ck_tasks_recurrence_rule';
        end if;
        if new.occurrence is not distinct from old.occurrence then
            new.occurrence := occurrence_at(new.recurrence, due);
        end if;
    end if;
    if has_time(new.recurrence) <> (new.due_at is not null) then
        raise 'start and due time are of two kinds'
            using errcode = '23514', constraint = 'ck_tasks_recurrence_start';
    end if;
    return new;
end $$;
create trigger settle_recurrence_of_new before insert on tasks
    for each row when (new.recurrence is not null or new.occurrence is not null)
    execute function settle_recurrence();
create trigger settle_recurrence
    before update of recurrence, occurrence, due_date, due_at on tasks
    for each row when (new.recurrence is not null or new.occurrence is not null)
    execute function settle_recurrence();
"""

# UUID version 5 (RFC 9562, section 5.5); PostgreSQL has SHA-1 in extensions alone (FIPS 180-4).
UUID_OF = r"""
create function uuid_of(namespace uuid, name text) returns uuid
language plpgsql immutable strict parallel safe as $$
declare
    mask constant bigint := 4294967295;
    given constant bytea := decode(replace(namespace::text, '-', ''), 'hex')
        || convert_to(name, 'UTF8');
    message constant bytea := given || '\x80'::bytea
        || decode(repeat('00', (119 - octet_length(given) % 64) % 64), 'hex')
        || int8send(octet_length(given) * 8);
    state bigint[] := array[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
    words bigint[];
    word bigint;
    a bigint;
    b bigint;
    c bigint;
    d bigint;
    e bigint;
    mixed bigint;
    hash text := '';
begin
    for block in 0..octet_length(message) / 64 - 1 loop
        for t in 0..79 loop
            if t < 16 then
                word := 0;
                for byte in 0..3 loop
                    word := word << 8 | get_byte(message, block * 64 + t * 4 + byte);
                end loop;
            else
                word := words[t - 2] # words[t - 7] # words[t - 13] # words[t - 15];
                word := ((word << 1) | (word >> 31)) & mask;
            end if;
            words[t + 1] := word;
        end loop;
        a := state[1];
        b := state[2];
        c := state[3];
        d := state[4];
        e := state[5];
        for t in 0..79 loop
            mixed := case t / 20
                when 0 then ((b & c) | ((~b) & d)) + 1518500249
                when 1 then (b # c # d) + 1859775393
                when 2 then ((b & c) | (b & d) | (c & d)) + 2400959708
                else (b # c # d) + 3395469782
            end;
            mixed := ((((a << 5) | (a >> 27)) & mask) + mixed + e + words[t + 1]) & mask;
            e := d;
            d := c;
            c := ((b << 30) | (b >> 2)) & mask;
            b := a;
            a := mixed;
        end loop;
        state := array[(state[1] + a) & mask, (state[2] + b) & mask, (state[3] + c) & mask,
            (state[4] + d) & mask, (state[5] + e) & mask];
    end loop;
    for each in 1..4 loop
        hash := hash || lpad(to_hex(state[each]), 8, '0');
    end loop;
    hash := overlay(hash placing '5' from 13);
    hash := overlay(hash placing substr('89ab', ((state[3] >> 28) & 3)::integer + 1, 1) from 17);
    return hash::uuid;
end $$
"""

FUNCTIONS = (
    WEEKDAY_OF,
    OF_PLACES,
    END_OF_RULE,
    OCCURRENCES_OF,
    INSTANT_OF,
    LOCAL_OF,
    HAS_TIME,
    OCCURRENCE_TEXT,
    ZONE_OF_RECURRENCE,
    OCCURRENCE_AT,
    NEXT_OCCURRENCE,
    OCCURRENCES_AHEAD,
    UUID_OF,
)


def upgrade() -> None:
    op.add_column("tasks", sa.Column("recurrence", JSONB))
    op.add_column("tasks", sa.Column("occurrence", TIMESTAMP))
    op.add_column("tasks", sa.Column("series_id", sa.Uuid))
    for function in FUNCTIONS:
        op.execute(function)
    op.execute(SETTLE_RECURRENCE)


def downgrade() -> None:
    op.execute("drop trigger settle_recurrence on tasks")
    op.execute("drop trigger settle_recurrence_of_new on tasks")
    op.execute("drop function settle_recurrence")
    for name in (
        "uuid_of",
        "occurrences_ahead",
        "next_occurrence",
        "occurrence_at",
        "zone_of_recurrence",
        "occurrence_text",
        "has_time",
        "local_of",
        "instant_of",
        "occurrences_of",
        "end_of_rule",
        "of_places",
        "weekday_of",
    ):
        op.execute(f"drop function {name}")
    for name in ("series_id", "occurrence", "recurrence"):
        op.drop_column("tasks", name)
