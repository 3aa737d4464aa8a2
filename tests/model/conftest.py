"""The warehouse of the Model tests."""

import pytest

from functions.model.migrations import migrate


@pytest.fixture
def warehouse(database_url):
    """The address of a database with the schema and no row."""
    migrate({"dsn": database_url})
    return database_url
