"""The surroundings of Ingest: its buckets, its host, a secret with its API key."""

import json

import boto3
import pytest
from aws import RAW, buckets

from functions.core import storage
from open_meteo_stand_in.server import StandIn


@pytest.fixture
def s3(monkeypatch):
    with buckets(monkeypatch) as client:
        yield client


@pytest.fixture
def concurrent_s3(s3, ministack, monkeypatch):
    """The emulator's S3 in place of moto's, whose conditional write is not atomic between threads."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", ministack.endpoint)
    storage._client.cache_clear()
    client = ministack.client("s3")
    client.create_bucket(Bucket=RAW)
    yield client
    for item in client.list_objects_v2(Bucket=RAW).get("Contents", ()):
        client.delete_object(Bucket=RAW, Key=item["Key"])
    client.delete_bucket(Bucket=RAW)


@pytest.fixture
def host(monkeypatch):
    """The stand-in without its quota, which has tests of its own."""
    with StandIn("synthetic", quota=False) as stand_in:
        monkeypatch.setenv("OPEN_METEO_FORECAST_URL", f"{stand_in.url}/v1/forecast")
        monkeypatch.setenv("OPEN_METEO_ARCHIVE_URL", f"{stand_in.url}/v1/archive")
        yield stand_in


@pytest.fixture
def store_key(s3, monkeypatch):
    """A function that stores the secret of the API key, named ``om``, and names it in the environment."""

    def store(**secret):
        boto3.client("secretsmanager").create_secret(Name="om", SecretString=json.dumps(secret))
        monkeypatch.setenv("OPEN_METEO_API_KEY_SECRET", "om")

    return store
