"""S3 and Secrets Manager: the only module that talks to AWS, and the owner of every key.

Answers of Open-Meteo are kept as their exact bytes, gzipped, with what was asked in the object's
metadata, so that a raw object explains itself. S3 allows 2 KB of metadata an object
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html).
"""

import csv
import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from functions.core import settings
from functions.core.errors import InvalidInputError, TransientError
from functions.core.run import Run

METADATA_LIMIT = 2048
_PART_NUMBER = re.compile(r"part-(\d+)\.")
_CONNECT_SECONDS, _READ_SECONDS = 5, 60


def raw_prefix(run: Run) -> str:
    """Where the answers of a run lie."""
    return f"raw/source={run.source}/date={run.run_date}/run={run.run_id}/"


def raw_key(run: Run, part: int) -> str:
    """The key of a run's answer number ``part``, from 0."""
    return f"{raw_prefix(run)}part-{part:04d}.json.gz"


def unreadable_key(run: Run, body: bytes) -> str:
    """Where an answer that does not decode is kept as evidence; asking again may give another one."""
    return f"{raw_prefix(run)}unreadable-{hashlib.sha256(body).hexdigest()[:16]}.gz"


def part_number(key: str) -> int:
    """The part number in a raw key. Raises InvalidInputError where there is none."""
    found = _PART_NUMBER.search(key)
    if not found:
        raise InvalidInputError(f"raw key {key!r}: is not .../part-NNNN.json.gz")
    return int(found.group(1))


def processed_key(raw_key: str) -> str:
    """The key of the rows made from a raw object."""
    return _derived("processed", raw_key)


def rejected_key(raw_key: str) -> str:
    """The key of the rows of a raw object that were rejected."""
    return _derived("rejected", raw_key)


def _derived(kind: str, raw_key: str) -> str:
    if not raw_key.startswith("raw/") or not raw_key.endswith(".json.gz"):
        raise InvalidInputError(f"raw key {raw_key!r}: is not raw/.../part-NNNN.json.gz")
    return f"{kind}/{raw_key.removeprefix('raw/').removesuffix('.json.gz')}.csv.gz"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of one kept answer without reading it; ``cities`` are the asked ones, in order."""

    key: str
    address: str
    status: int
    fetched_at: datetime
    sha256: str
    cities: tuple[str, ...]
    quota_weight: float

    def metadata(self) -> dict[str, str]:
        """The answer as S3 metadata. Its size is the caller's to keep below METADATA_LIMIT."""
        return {
            "address": self.address,
            "status": str(self.status),
            "fetched_at": self.fetched_at.isoformat(),
            "sha256": self.sha256,
            "cities": ",".join(self.cities),
            "quota_weight": f"{self.quota_weight:g}",
        }

    @classmethod
    def from_metadata(cls, key: str, metadata: dict[str, str]) -> "Answer":
        """Raises InvalidInputError when an object was not written by Ingest."""
        try:
            return cls(
                key=key,
                address=metadata["address"],
                status=int(metadata["status"]),
                fetched_at=datetime.fromisoformat(metadata["fetched_at"]),
                sha256=metadata["sha256"],
                cities=tuple(metadata["cities"].split(",")),
                quota_weight=float(metadata["quota_weight"]),
            )
        except (KeyError, ValueError) as error:
            raise InvalidInputError(f"raw object {key}: its metadata is not what Ingest writes: {error!r}") from error


class RawStore:
    """The raw bucket."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    @classmethod
    def from_environment(cls) -> "RawStore":
        return cls(settings.required("RAW_BUCKET"))

    def answers(self, run: Run) -> list[Answer]:
        """The answers a run has so far, by part number. Raises TransientError when S3 does not answer."""
        with _aws_errors(f"s3://{self.bucket}/{raw_prefix(run)}"):
            pages = (
                _client("s3")
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self.bucket, Prefix=f"{raw_prefix(run)}part-")
            )
            keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
            heads = ((key, _client("s3").head_object(Bucket=self.bucket, Key=key)) for key in keys)
            found = [Answer.from_metadata(key, head["Metadata"]) for key, head in heads]
        return sorted(found, key=lambda answer: part_number(answer.key))

    def put(self, answer: Answer, body: bytes) -> bool:
        """Keep an answer unless its key is taken; True if it was written.

        The condition makes two Ingests of one run that work at once agree: the first one's answer stays.
        """
        try:
            with _aws_errors(f"s3://{self.bucket}/{answer.key}"):
                _client("s3").put_object(
                    Bucket=self.bucket,
                    Key=answer.key,
                    Body=gzip.compress(body, mtime=0),
                    ContentType="application/json",
                    ContentEncoding="gzip",
                    Metadata=answer.metadata(),
                    IfNoneMatch="*",
                )
        except _ObjectExistsError:
            return False
        return True

    def put_evidence(self, key: str, body: bytes, metadata: dict[str, str]) -> None:
        """Keep an answer that cannot be used, for whoever asks what it was."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            _client("s3").put_object(Bucket=self.bucket, Key=key, Body=gzip.compress(body, mtime=0), Metadata=metadata)

    def read(self, key: str) -> tuple[bytes, Answer]:
        """The exact bytes of an answer, and what is known of it. Raises InvalidInputError when there is none."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            got = _client("s3").get_object(Bucket=self.bucket, Key=key)
            body = gzip.decompress(got["Body"].read())
        return body, Answer.from_metadata(key, got["Metadata"])


class ProcessedStore:
    """The processed bucket: gzipped CSV, made anew from raw at any time, so written without a condition."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    @classmethod
    def from_environment(cls) -> "ProcessedStore":
        return cls(settings.required("PROCESSED_BUCKET"))

    def put(self, key: str, text: str) -> None:
        """Write CSV text at ``key``."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            _client("s3").put_object(
                Bucket=self.bucket,
                Key=key,
                # a rejected value may hold what UTF-8 cannot: half of a surrogate pair
                Body=gzip.compress(text.encode(errors="backslashreplace"), compresslevel=6, mtime=0),
                ContentType="text/csv; charset=utf-8",
                ContentEncoding="gzip",
            )

    @contextmanager
    def open(self, key: str) -> Iterator[io.BufferedIOBase]:
        """The CSV at ``key`` as a binary stream that is unpacked while it is read. InvalidInputError when absent."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            body = _client("s3").get_object(Bucket=self.bucket, Key=key)["Body"]
            with body, gzip.GzipFile(fileobj=body) as stream:
                yield stream


def csv_text(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV with a header; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def secret(secret_id: str) -> dict[str, Any]:
    """The JSON object in a Secrets Manager secret. Raises InvalidInputError when it is not there or not an object."""
    with _aws_errors(f"secret {secret_id}"):
        text = _client("secretsmanager").get_secret_value(SecretId=secret_id).get("SecretString", "")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidInputError(f"secret {secret_id}: must hold a JSON object")
    return value


class _ObjectExistsError(Exception):
    """A conditional write found its key taken."""


# What S3 and Secrets Manager answer for a name that does not exist or is not allowed: asking again is no use.
_PERMANENT = {
    "NoSuchKey",
    "NoSuchBucket",
    "404",
    "AccessDenied",
    "403",
    "ResourceNotFoundException",
    "AccessDeniedException",
}


@contextmanager
def _aws_errors(where: str) -> Iterator[None]:
    """Say what failed and where, as the error the state machine knows what to do with."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("PreconditionFailed", "412"):
            raise _ObjectExistsError from error
        kind = InvalidInputError if code in _PERMANENT else TransientError
        raise kind(f"{where}: {code}: {error}") from error
    except BotoCoreError as error:
        raise TransientError(f"{where}: {error}") from error


@cache
def _client(service: str) -> Any:
    """One client a service and process: making one costs more than most requests."""
    return boto3.client(
        service,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "max_attempts": 4},
        ),
    )
