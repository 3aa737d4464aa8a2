"""The functions' buckets by moto, for unit tests of a handler."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.core import storage
from functions.core.storage import quota_key

RAW, PROCESSED = "raw", "processed"


@contextmanager
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 client, with both buckets made and named in the environment."""
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "RAW_BUCKET": RAW,
        "PROCESSED_BUCKET": PROCESSED,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    storage._client.cache_clear()
    with mock_aws():
        s3 = boto3.client("s3")
        for bucket in (RAW, PROCESSED):
            s3.create_bucket(Bucket=bucket)
        yield s3
    storage._client.cache_clear()


def unzipped(s3: Any, bucket: str, key: str) -> bytes:
    return gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def keys(s3: Any, bucket: str) -> list[str]:
    """The keys of a bucket, without the quota ledger that every run of a free host changes."""
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
    return [key for key in listed if key != quota_key()]
