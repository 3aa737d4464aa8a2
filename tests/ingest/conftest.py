"""The surroundings of Ingest: its buckets, its host, a secret with its API key."""

import json

import boto3
import pytest
from aws import buckets

from open_meteo_stand_in.server import StandIn


@pytest.fixture
def s3(monkeypatch):
    with buckets(monkeypatch) as client:
        yield client


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
