"""The preparation of docker compose (secrets, warehouse), and the rules of docker-compose.yml."""

import os
import re
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import yaml

from compose.prepare import make_secrets
from compose.warehouse import prepare

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
PASSWORDS = {"LOADER_PASSWORD": "l", "READER_PASSWORD": "r", "METABASE_STATE_PASSWORD": "m"}


def settings(path):
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def test_secrets_are_created_once_and_readable_by_their_owner_only(tmp_path):
    path = tmp_path / ".env"
    make_secrets(path)
    made = settings(path)
    assert {"POSTGRES_PASSWORD", "METABASE_PASSWORD", *PASSWORDS} <= made.keys()
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    make_secrets(path)
    assert settings(path) == made


def test_present_secrets_remain_and_missing_ones_are_added(tmp_path):
    path = tmp_path / ".env"
    path.write_text("POSTGRES_PASSWORD=mine\n")
    make_secrets(path)
    assert settings(path)["POSTGRES_PASSWORD"] == "mine"
    assert settings(path)["METABASE_PASSWORD"]


def test_a_file_without_a_last_newline_or_with_export_is_parsed(tmp_path):
    path = tmp_path / ".env"
    path.write_text("POSTGRES_PASSWORD=mine\nexport READER_PASSWORD=theirs")
    make_secrets(path)
    lines = path.read_text().splitlines()
    assert lines[:2] == ["POSTGRES_PASSWORD=mine", "export READER_PASSWORD=theirs"]
    assert [line for line in lines if "READER_PASSWORD" in line] == lines[1:2]


def shell(service, tmp_path):
    """Return the environment of a service's process, by replacing the last command of its command line with env."""
    words = service["entrypoint"] if len(service["entrypoint"]) > 2 else [*service["entrypoint"], *service["command"]]
    line = words[2].replace("$$", "$").replace("/ikirere/.env", str(tmp_path / ".env"))
    command = [*words[:2], re.sub(r"exec .*", "exec env", line, flags=re.DOTALL)]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("postgres", {"POSTGRES_PASSWORD"}),
        ("warehouse", {"OWNER_URL", "LOADER_PASSWORD", "READER_PASSWORD", "METABASE_STATE_PASSWORD"}),
        ("localstack", {"LOADER_URL"}),
        ("metabase", {"MB_DB_PASS"}),
        ("provision", {"METABASE_URL", "METABASE_WAREHOUSE_URL", "METABASE_EMAIL", "METABASE_PASSWORD"}),
    ],
)
def test_a_service_gets_only_the_secrets_it_needs(tmp_path, name, given):
    make_secrets(tmp_path / ".env")
    environment = shell(SERVICES[name], tmp_path)
    assert {each for each in environment if re.search("PASS|URL|EMAIL", each)} == given
    roles = {"OWNER_URL": "ikirere", "LOADER_URL": "ikirere_loader", "METABASE_WAREHOUSE_URL": "metabase_reader"}
    for variable in given & roles.keys():
        assert re.fullmatch(rf"postgresql://{roles[variable]}:[\w-]{{32}}@postgres:5432/ikirere", environment[variable])


def test_the_warehouse_can_be_prepared_twice(postgres, database_url):
    for _ in range(2):
        prepare(database_url, PASSWORDS)
    name = database_url.rsplit("/", 1)[1]
    reader = postgres.url("metabase_reader", "r", name)
    with closing(psycopg2.connect(reader)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM mart_daily_city_weather")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT count(*) FROM staging_weather")
    with closing(psycopg2.connect(postgres.url("metabase", "m", "metabase"))) as connection:
        connection.cursor().execute("CREATE TABLE state (a int)")


def test_ports_are_published_on_the_loopback_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_images_are_pinned():
    for name, service in SERVICES.items():
        tag = service["image"].partition(":")[2]
        assert tag not in ("", "latest"), name


def test_every_service_waits_for_what_it_needs():
    needs = {
        name: {needed: how["condition"] for needed, how in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    assert needs == {
        "prepare": {},
        "postgres": {"prepare": "service_completed_successfully"},
        "warehouse": {"postgres": "service_healthy"},
        "localstack": {"warehouse": "service_completed_successfully"},
        "open-meteo": {"prepare": "service_completed_successfully"},
        "metabase": {"warehouse": "service_completed_successfully"},
        "provision": {"metabase": "service_healthy"},
    }
    for name, service in SERVICES.items():
        waited_for = [how[name] for how in needs.values() if name in how]
        assert "service_healthy" not in waited_for or service["healthcheck"]
