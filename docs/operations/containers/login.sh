#!/bin/sh
# Runs once, when the database is created: the login of the service, with the least rights.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname="$POSTGRES_DB" \
    --set=password="$SERVICE_PASSWORD" <<'SQL'
create role tasks_app nologin;
create role tasks_auth nologin;
create role tasks_links nologin;
create role tasks_maintenance nologin;
create role tasks_worker nologin;
create role tasks_service login noinherit password :'password';
grant tasks_app, tasks_auth, tasks_links, tasks_maintenance, tasks_worker to tasks_service;
SQL
