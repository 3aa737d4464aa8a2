"""Prepare, on a server like one of RDS: its owner may create roles and is no superuser."""

import json
from contextlib import closing

import boto3
import psycopg2
import pytest
from loads import rows_of
from moto import mock_aws

from emulator.postgres import Postgres
from emulator.state import State
from functions.core import storage
from functions.core.errors import InvalidInputError, LoadError
from functions.model.migrations import migrations
from functions.model.prepare import lambda_handler


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server for this module only, since roles belong to the server."""
    state = State(tmp_path_factory.mktemp("prepare") / "state")
    with state.lock():
        postgres = Postgres(state)
        postgres.start()
    with closing(psycopg2.connect(postgres.url())) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("CREATE ROLE rds_owner LOGIN CREATEROLE PASSWORD 'owner'")
        cursor.execute("CREATE DATABASE rds OWNER rds_owner")
    yield postgres
    postgres.stop()


@pytest.fixture
def secrets(server, monkeypatch):
    """The three secrets of the stack, named in the environment; a function changes one."""
    address = psycopg2.extensions.parse_dsn(server.url(database="rds"))
    where = {"host": address["host"], "port": int(address["port"]), "dbname": "rds", "sslmode": "prefer"}
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    values = {
        "OWNER_SECRET": {"username": "rds_owner", "password": "owner"},
        "DATABASE_SECRET": where | {"username": "ikirere_loader", "password": "loader"},
        "READER_SECRET": where | {"username": "metabase_reader", "password": "reader"},
    }
    storage._client.cache_clear()
    with mock_aws():
        client = boto3.client("secretsmanager")
        for name, value in values.items():
            monkeypatch.setenv(name, name)
            client.create_secret(Name=name, SecretString=json.dumps(value))
        yield lambda name, **changes: client.put_secret_value(
            SecretId=name, SecretString=json.dumps(values[name] | changes)
        )
    storage._client.cache_clear()


def test_prepare_migrates_and_the_roles_can_log_in_with_their_privileges_only(server, secrets):
    assert lambda_handler({}, None)["applied"] == [f"{each.version:03d}_{each.name}" for each in migrations()]
    rows_of(server.url("ikirere_loader", "loader", "rds"), "DELETE FROM mart_daily_city_weather")
    reader = server.url("metabase_reader", "reader", "rds")
    assert rows_of(reader, "SELECT * FROM mart_daily_city_weather") == []
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rows_of(reader, "SELECT * FROM staging_weather")


def test_a_second_call_applies_nothing_and_sets_a_changed_password(server, secrets):
    lambda_handler({}, None)
    secrets("READER_SECRET", password="another")
    assert lambda_handler({}, None) == {"applied": []}
    assert rows_of(server.url("metabase_reader", "another", "rds"), "SELECT 1") == [(1,)]
    with pytest.raises(psycopg2.OperationalError):
        rows_of(server.url("metabase_reader", "reader", "rds"), "SELECT 1")


def test_a_wrong_password_and_a_missing_setting_are_named(secrets, monkeypatch):
    secrets("OWNER_SECRET", password="wrong")
    with pytest.raises(LoadError, match="password authentication failed"):
        lambda_handler({}, None)
    monkeypatch.delenv("READER_SECRET")
    with pytest.raises(InvalidInputError, match="environment: READER_SECRET is not set"):
        lambda_handler({}, None)
