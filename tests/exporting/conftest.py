"""A warehouse to export, and the command that does it."""

import pytest
from exports import Exporter, fill


@pytest.fixture
def warehouse(database_url):
    return fill(database_url)


@pytest.fixture
def export(warehouse, tmp_path, monkeypatch, capsys):
    return Exporter(warehouse, tmp_path, monkeypatch, capsys)
