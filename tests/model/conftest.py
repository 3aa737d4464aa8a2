"""The warehouse of the Model tests."""

import gzip
import json

import boto3
import pytest
from aws import PROCESSED, buckets
from loads import response
from tasks import PART

from functions.core.storage import coverage_key, processed_key
from functions.model.migrations import migrate


@pytest.fixture
def warehouse(database_url):
    """The address of a database with the schema and no row."""
    migrate({"dsn": database_url})
    return database_url


@pytest.fixture
def deployed_warehouse(warehouse, monkeypatch):
    """The warehouse as the function finds it: its address in a secret, a processed object of two rows in the bucket."""
    with buckets(monkeypatch) as s3:
        monkeypatch.setenv("DATABASE_SECRET", "warehouse")
        boto3.client("secretsmanager").create_secret(Name="warehouse", SecretString=json.dumps({"url": warehouse}))
        loaded = response("run-1", 0, [20, 21])
        for key, body in (
            (processed_key(PART["raw_key"]), loaded.csv()),
            (
                coverage_key(PART["raw_key"]),
                loaded.coverage().replace(loaded.raw_key.encode(), PART["raw_key"].encode()),
            ),
        ):
            s3.put_object(Bucket=PROCESSED, Key=key, Body=gzip.compress(body))
        yield warehouse
