"""Each role signs in with its password and tries to become more: everything beyond its task is refused."""

from contextlib import closing
from urllib.parse import urlsplit

import psycopg2
import pytest
from loads import load_responses, response, rows_of

from emulator.warehouse import prepare
from functions.model.logins import set_passwords
from functions.model.migrations import migrate

LOADER, READER = "ikirere_loader", "metabase_reader"
TABLES = (
    "dim_city", "staging_weather", "staging_coverage", "mart_daily_city_weather", "mart_city_weather_summary",
    "pipeline_run", "schema_migration",
)  # fmt: skip
# What no role but the owner may do, whatever it reads or writes.
ESCALATIONS = [
    "SET ROLE ikirere",
    "SET SESSION AUTHORIZATION ikirere",
    "SET ROLE pg_read_all_data",
    "SET ROLE pg_execute_server_program",
    "GRANT ikirere TO CURRENT_USER",
    "GRANT pg_write_all_data TO CURRENT_USER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "ALTER ROLE ikirere PASSWORD 'mine'",
    "CREATE ROLE mine SUPERUSER",
    "CREATE DATABASE mine",
    "CREATE SCHEMA mine",
    "CREATE TABLE mine (x int)",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE c AS '/tmp/mine.so', 'mine'",
    "CREATE OR REPLACE FUNCTION pg_catalog.lower(text) RETURNS text LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION file_fdw",
    "CREATE LANGUAGE plpython3u",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION pg_notify()",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    "CREATE SUBSCRIPTION mine CONNECTION 'host=127.0.0.1' PUBLICATION mine",
    "CREATE TRIGGER mine BEFORE INSERT ON dim_city EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE mine AS ON INSERT TO dim_city DO ALSO NOTIFY mine",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY dim_city FROM PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/ikirere-mine'",
    "COPY dim_city FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('pg_hba.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_ls_logdir()",
    "SELECT pg_stat_file('postgresql.conf')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/ikirere-mine')",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_promote()",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('mine')",
    "SELECT pg_logical_slot_get_changes('mine', NULL, NULL)",
    "SELECT pg_create_physical_replication_slot('mine')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ikirere'",
    "SELECT rolpassword FROM pg_authid",
    "SELECT passwd FROM pg_shadow",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM pg_user_mapping",
    "SELECT * FROM pg_largeobject",
    "UPDATE pg_proc SET prosecdef = true",
    "SET session_replication_role = replica",
    "SET log_statement = 'none'",
    "SET shared_preload_libraries = 'mine'",
    "LOAD '/tmp/mine.so'",
    "ALTER SYSTEM SET log_statement = 'all'",
    "ALTER DATABASE {database} SET search_path = mine",
    "ALTER DATABASE {database} OWNER TO CURRENT_USER",
    "ALTER SCHEMA public OWNER TO CURRENT_USER",
    "ALTER TABLE pipeline_run OWNER TO CURRENT_USER",
    "ALTER TABLE pipeline_run ADD COLUMN mine int",
    "ALTER TABLE pipeline_run DISABLE TRIGGER ALL",
    "CREATE INDEX mine ON pipeline_run (run_id)",
    "COMMENT ON TABLE pipeline_run IS 'mine'",
    "SECURITY LABEL ON TABLE pipeline_run IS 'mine'",
    "DROP TABLE pipeline_run",
    "DROP OWNED BY ikirere",
    "REASSIGN OWNED BY ikirere TO CURRENT_USER",
    "TRUNCATE pipeline_run",
    "CHECKPOINT",
    "DELETE FROM schema_migration",
    "UPDATE schema_migration SET version = 0",
]  # fmt: skip


@pytest.fixture(scope="module")
def deployed(postgres, new_database):
    """The addresses of a warehouse with a day in it: the owner's, and a function from a role to its own address."""
    owner = new_database()
    migrate({"dsn": owner})
    load_responses(owner, response("r1", 0, range(24)))
    passwords = {LOADER: "loads", READER: "reads"}
    set_passwords({"dsn": owner}, passwords)
    database = urlsplit(owner).path.strip("/")
    return owner, lambda role, name=database: postgres.url(role, passwords[role], name)


def state_of(owner):
    """The rows of every table and the rights on everything."""
    tables = rows_of(owner, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    rows = {table: rows_of(owner, f"SELECT * FROM {table} ORDER BY 1") for (table,) in tables}
    rights = rows_of(
        owner,
        "SELECT relname, relowner::regrole::text, relacl::text FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    roles = rows_of(owner, "SELECT rolname, rolsuper, rolcreaterole, rolpassword FROM pg_authid ORDER BY 1")
    members = rows_of(owner, "SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members ORDER BY 1, 2")
    return rows, rights, roles, members


def attempt(address, statement):
    """Return the error of a statement, None if it was committed."""
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        except psycopg2.Error as error:
            return error
    return None


@pytest.mark.parametrize("role", [LOADER, READER])
def test_a_role_cannot_become_more_than_it_is(deployed, role):
    owner, address_of = deployed
    address = address_of(role)
    before = state_of(owner)
    database = urlsplit(owner).path.strip("/")
    gained = [each for each in ESCALATIONS if attempt(address, each.format(database=database)) is None]
    assert gained == []
    assert state_of(owner) == before


@pytest.mark.parametrize(
    "statement",
    [
        *(f"SELECT * FROM {table}" for table in ("staging_weather", "staging_coverage", "schema_migration")),
        *(f"DELETE FROM {table}" for table in TABLES),
        *(f"UPDATE {table} SET run_id = 'x'" for table in ("mart_daily_city_weather", "pipeline_run")),
        "INSERT INTO dim_city SELECT * FROM dim_city",
        "COPY dim_city FROM STDIN",
        "BEGIN; LOCK TABLE pipeline_run IN ACCESS EXCLUSIVE MODE",
        "CREATE TEMPORARY TABLE mine (x int)",
        "SELECT * FROM pipeline_run FOR UPDATE",
        "SELECT lo_unlink(1)",
    ],
)
def test_the_reader_only_reads_what_it_is_for(deployed, statement):
    owner, address_of = deployed
    before = state_of(owner)
    error = attempt(address_of(READER), statement)
    assert isinstance(error, psycopg2.errors.InsufficientPrivilege), error
    assert state_of(owner) == before


def test_the_reader_reads_the_tables_of_readers_and_writes_none(deployed):
    owner, _ = deployed
    rights = rows_of(
        owner,
        "SELECT relname, kind FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', "
        "'REFERENCES', 'TRIGGER']) AS kind WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') "
        "AND has_table_privilege(%s, oid, kind)",
        (READER,),
    )
    assert {kind for _, kind in rights} == {"SELECT"}
    others = {name for name, _ in rights if not name.startswith("mart_")}
    climate, alerts = {"climate_normal", "climate_threshold"}, {"alert_rule", "weather_alert"}
    assert others == {"dim_city", "pipeline_run", "quality_result", *climate, *alerts}


@pytest.mark.parametrize("role", [LOADER, READER])
@pytest.mark.parametrize("statement", ["GRANT ALL ON pipeline_run TO PUBLIC", "VACUUM FULL pipeline_run", "ANALYZE"])
def test_what_the_server_only_warns_of_changes_nothing(deployed, role, statement):
    owner, address_of = deployed
    before = state_of(owner)
    attempt(address_of(role), statement)
    assert state_of(owner) == before


@pytest.mark.parametrize("role", [LOADER, READER])
@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_a_role_signs_in_to_the_warehouse_only(deployed, role, database):
    _, address_of = deployed
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(address_of(role, database))


def test_a_role_needs_its_password(deployed, postgres):
    owner, _ = deployed
    database = urlsplit(owner).path.strip("/")
    for role in (LOADER, READER, "ikirere"):
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(postgres.url(role, "wrong", database))
    (methods,) = rows_of(owner, "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules")
    assert methods == (["scram-sha-256"],)
    assert rows_of(owner, "SHOW unix_socket_directories") == [("",)]
    assert rows_of(owner, "SHOW listen_addresses") == [("127.0.0.1",)]


def test_the_loader_still_loads(deployed):
    owner, address_of = deployed
    load_responses(address_of(LOADER), response("r2", 1, range(24, 0, -1)))
    assert rows_of(owner, "SELECT count(*) FROM pipeline_run") == [(2,)]


def test_an_own_database_keeps_its_rights(monkeypatch, database_url):
    """It may serve others: what PUBLIC may do there is its owner's affair."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    prepare(None, None, None)
    assert rows_of(database_url, "SELECT datacl FROM pg_database WHERE datname = current_database()") == [(None,)]
