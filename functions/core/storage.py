"""S3 and Secrets Manager: the only module that calls AWS, and the one that builds every object key.

A raw object holds the exact bytes of one response, gzipped, and its request in the metadata, so that it
can be read without other data. S3 allows 2 KB of metadata for each object
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html).
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from isal import igzip, isal_zlib

from functions.core import settings
from functions.core.errors import InvalidInputError, TransientError, UpstreamContractError
from functions.core.run import Run
from functions.core.text import excerpt, quoted

METADATA_LIMIT = 2048
RAW_PREFIX = "raw/"
_PART_NUMBER = re.compile(r"part-(\d+)\.")
_RAW_KEY = re.compile(r"raw/source=(?P<source>\w+)/date=(?P<run_date>[\d-]+)/run=(?P<run_id>[^/]+)/part-\d+\.json\.gz")
_CONNECT_SECONDS, _READ_SECONDS = 5, 60
# isal's level; docs/decisions/0008-fast-path.md has the measurements.
_GZIP_LEVEL = 1
_GZIP_BYTES = 1 << 20


def raw_prefix(run: Run) -> str:
    """Return the prefix of a run's raw object keys."""
    return f"{run_prefix(run.source, run.run_date, run.run_id)}/"


def run_prefix(source: str, run_date: date, start_of_run_id: str) -> str:
    """Return the prefix of the raw object keys of all runs of a day whose ids begin like this."""
    return f"{RAW_PREFIX}source={source}/date={run_date}/run={start_of_run_id}"


def raw_key(run: Run, part: int) -> str:
    """Return the key of a run's response number ``part``, counted from 0."""
    return f"{raw_prefix(run)}part-{part:04d}.json.gz"


def unreadable_key(run: Run, body: bytes | bytearray) -> str:
    """Return the key of an unusable response; a repeated request may return another body with another key."""
    return f"{raw_prefix(run)}unreadable-{hashlib.sha256(body).hexdigest()[:16]}.gz"


def part_number(key: str) -> int:
    """Return the part number in a raw key. Raises InvalidInputError if there is none."""
    match = _PART_NUMBER.search(key)
    if not match:
        raise InvalidInputError(f"raw key {quoted(key)}: is not .../part-NNNN.json.gz")
    return int(match.group(1))


def processed_key(raw_key: str) -> str:
    """Return the key of the processed object of a raw object."""
    return _derived("processed", raw_key, ".csv.gz")


def coverage_key(raw_key: str) -> str:
    """Return the key of the coverage object of a raw object."""
    return _derived("processed", raw_key, ".coverage.csv.gz")


def quality_key(raw_key: str) -> str:
    """Return the key of the quality object of a raw object."""
    return _derived("processed", raw_key, ".quality.csv.gz")


def rejected_key(raw_key: str) -> str:
    """Return the key of the rejected rows of a raw object."""
    return _derived("rejected", raw_key, ".csv.gz")


def _derived(kind: str, raw_key: str, suffix: str) -> str:
    if not raw_key.startswith(RAW_PREFIX) or not raw_key.endswith(".json.gz"):
        raise InvalidInputError(f"raw key {quoted(raw_key)}: is not raw/.../part-NNNN.json.gz")
    return f"{kind}/{raw_key.removeprefix(RAW_PREFIX).removesuffix('.json.gz')}{suffix}"


def quota_key() -> str:
    """Return the key of the quota ledger in the raw bucket."""
    return "quota/ledger.json"


def backfill_prefix() -> str:
    """Return the prefix of what is stored of backfills in the raw bucket."""
    return "backfill/"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The metadata of one stored response; ``cities`` are the requested ones, in order."""

    key: str
    address: str
    status: int
    fetched_at: datetime
    sha256: str
    cities: tuple[str, ...]
    quota_weight: float

    def metadata(self) -> dict[str, str]:
        """Return the S3 metadata. The caller keeps its size below METADATA_LIMIT."""
        return {
            "address": self.address,
            "status": str(self.status),
            "fetched_at": self.fetched_at.isoformat(),
            "sha256": self.sha256,
            "cities": ",".join(self.cities),
            "quota_weight": f"{self.quota_weight:g}",
        }

    @classmethod
    def from_metadata(cls, key: str, metadata: dict[str, str]) -> "StoredResponse":
        """Raises InvalidInputError if the object was not written by Ingest."""
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
            raise InvalidInputError(
                f"raw object {excerpt(key)}: its metadata was not written by Ingest: {quoted(error)}; restore the "
                "first version, or remove what Ingest did not write"
            ) from error


def run_of(response: StoredResponse) -> Run:
    """Return the run of a stored response, from its key and its request; ``cities`` are those of this response.

    Raises InvalidInputError if key or request are not those that Ingest makes.
    """
    match = _RAW_KEY.fullmatch(response.key)
    query = parse_qs(urlsplit(response.address).query)
    try:
        if not match:
            raise ValueError("not a key of a response")
        return Run.from_json(
            {
                **match.groupdict(),
                "start": query["start_date"][0],
                "end": query["end_date"][0],
                "variables": query["hourly"][0].split(","),
                "cities": response.cities,
            }
        )
    except (KeyError, ValueError) as error:
        raise InvalidInputError(
            f"raw object {excerpt(response.key)}: its request was not made by Ingest: {quoted(error)}; restore the "
            "first version, or remove what Ingest did not write"
        ) from error


class RawStore:
    """The raw bucket. ``client`` gives a client of a service; the default is the process's own."""

    def __init__(self, bucket: str, client: Callable[[str], Any] | None = None) -> None:
        self.bucket = bucket
        self._client = client or _client

    @classmethod
    def from_environment(cls) -> "RawStore":
        return cls(settings.required("RAW_BUCKET"))

    def responses(self, run: Run) -> list[StoredResponse]:
        """Return the stored responses of a run, by part number. Raises TransientError if S3 is unavailable."""
        stored = [self.metadata(key) for key in self.response_keys(f"{raw_prefix(run)}part-")]
        return sorted(stored, key=lambda response: part_number(response.key))

    def response_keys(self, prefix: str = RAW_PREFIX) -> list[str]:
        """Return the keys with this prefix that hold a response, not those of unusable ones. Raises TransientError."""
        keys: list[str] = []
        # by hand: the first paginator of a process takes 5 ms
        following: dict[str, str] | None = {}
        with _aws_errors(f"s3://{self.bucket}/{prefix}"):
            while following is not None:
                page = self._client("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix, **following)
                keys += (item["Key"] for item in page.get("Contents", ()))
                is_last = not page["IsTruncated"]
                following = None if is_last else {"ContinuationToken": page["NextContinuationToken"]}
        return [key for key in keys if _RAW_KEY.fullmatch(key)]

    def metadata(self, key: str) -> StoredResponse:
        """Return the metadata of a response. Raises InvalidInputError if the key does not exist, TransientError."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            head = self._client("s3").head_object(Bucket=self.bucket, Key=key)
        return StoredResponse.from_metadata(key, head["Metadata"])

    def put(self, response: StoredResponse, body: bytes | bytearray) -> bool:
        """Store a response if its key does not exist. Return whether it was written.

        The condition keeps two concurrent Ingests of one run consistent: the first response stays.
        """
        try:
            with _aws_errors(f"s3://{self.bucket}/{response.key}"):
                self._client("s3").put_object(
                    Bucket=self.bucket,
                    Key=response.key,
                    Body=gzipped((body,)),
                    ContentType="application/json",
                    ContentEncoding="gzip",
                    Metadata=response.metadata(),
                    IfNoneMatch="*",
                )
        except _ObjectExistsError:
            return False
        return True

    def put_unusable(self, key: str, body: bytes | bytearray, metadata: dict[str, str]) -> None:
        """Store an unusable response for diagnosis."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            self._client("s3").put_object(Bucket=self.bucket, Key=key, Body=gzipped((body,)), Metadata=metadata)

    def read(self, key: str) -> tuple[bytes, StoredResponse]:
        """Return the exact bytes of a response and its metadata.

        Raises InvalidInputError if the key does not exist, UpstreamContractError if the object is no longer the gzip
        file that was stored, TransientError.
        """
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            raw_object = self._client("s3").get_object(Bucket=self.bucket, Key=key)
            packed = raw_object["Body"].read()
        try:
            body = igzip.decompress(packed)
        except (OSError, EOFError, isal_zlib.error) as error:  # type: ignore[misc]  # untyped
            raise UpstreamContractError(
                f"{key}: its bytes were changed after Ingest stored them ({error}); restore the first version"
            ) from error
        return body, StoredResponse.from_metadata(key, raw_object["Metadata"])


class ProcessedStore:
    """The processed bucket: gzipped CSV that can be recomputed from raw, so writes overwrite."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    @classmethod
    def from_environment(cls) -> "ProcessedStore":
        return cls(settings.required("PROCESSED_BUCKET"))

    def put(self, key: str, file: bytes, metadata: Mapping[str, str]) -> None:
        """Write a gzipped CSV file at ``key``."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            _client("s3").put_object(
                Bucket=self.bucket,
                Key=key,
                Body=file,
                ContentType="text/csv; charset=utf-8",
                ContentEncoding="gzip",
                Metadata=metadata,
            )

    def read(self, key: str) -> bytes:
        """Return the gzipped CSV at ``key``. Raises InvalidInputError if there is none, TransientError."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            return bytes(_client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read())


def gzipped(chunks: Iterable[bytes | bytearray]) -> bytes:
    """Return the chunks as one gzip file without a time, so that it is deterministic."""
    file = _GzipFile()
    for chunk in chunks:
        file.write(chunk)
    return file.close()


class GzippedCsv:
    """A gzipped CSV file that is made some rows at a time; the same rows make the same bytes."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._file = _GzipFile()
        self._file.write(csv_text([columns]).encode())
        self.rows = 0

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows; None is an empty field."""
        rows = list(rows)
        self._file.write(csv_text(rows).encode())
        self.rows += len(rows)

    def file(self) -> bytes:
        """Return the file, which takes no further rows."""
        return self._file.close()


class _GzipFile:
    """A gzip file in memory, without a time."""

    def __init__(self) -> None:
        self._target = io.BytesIO()
        self._stream = igzip.IGzipFile(fileobj=self._target, mode="wb", compresslevel=_GZIP_LEVEL, mtime=0)

    def write(self, chunk: bytes | bytearray) -> None:
        view = memoryview(chunk)
        # a large write would hold its compressed bytes twice
        for begin in range(0, len(view), _GZIP_BYTES):
            self._stream.write(view[begin : begin + _GZIP_BYTES])

    def close(self) -> bytes:
        self._stream.close()
        return self._target.getvalue()


class ObjectStore:
    """Small objects of a bucket that change: written whole, or only if they are still as they were read.

    ``client`` gives a client of a service; the default is the process's own.
    """

    def __init__(self, bucket: str, client: Callable[[str], Any] | None = None) -> None:
        self.bucket = bucket
        self._client = client or _client

    def read(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its version (ETag), or None if the key does not exist."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            try:
                found = self._client("s3").get_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
            return found["Body"].read(), found["ETag"]

    def write(self, key: str, body: bytes) -> None:
        """Write an object, whatever is there."""
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            self._client("s3").put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/json")

    def write_if(self, key: str, body: bytes, version: str | None) -> bool:
        """Write an object if it still has this version (None: if it does not exist). Return whether it was written."""
        condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        with _aws_errors(f"s3://{self.bucket}/{key}"):
            try:
                self._client("s3").put_object(
                    Bucket=self.bucket, Key=key, Body=body, ContentType="application/json", **condition
                )
            except ClientError as error:
                if _code(error) in _CHANGED:
                    return False
                raise
        return True

    def versions(self, prefix: str) -> dict[str, str]:
        """Return the keys with this prefix and the version of each."""
        with _aws_errors(f"s3://{self.bucket}/{prefix}"):
            pages = self._client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", ())}

    def times(self, prefix: str) -> dict[str, datetime]:
        """Return the keys with this prefix and when each was last written."""
        with _aws_errors(f"s3://{self.bucket}/{prefix}"):
            pages = self._client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return {item["Key"]: item["LastModified"] for page in pages for item in page.get("Contents", ())}

    def folders(self, prefix: str) -> list[str]:
        """Return the prefixes of the next level, up to the slash after it."""
        with _aws_errors(f"s3://{self.bucket}/{prefix}"):
            pages = (
                self._client("s3")
                .get_paginator("list_objects_v2")
                .paginate(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
            )
            return [each["Prefix"].removesuffix("/") for page in pages for each in page.get("CommonPrefixes", ())]


def changed_object(uri: str, known_version: str | None) -> tuple[bytes, str] | None:
    """Return the bytes and the version of ``s3://bucket/key``, or None if it still has the known version."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not key:
        raise InvalidInputError(f"{uri}: is not s3://bucket/key; correct CITIES_URI")
    condition = {"IfNoneMatch": known_version} if known_version else {}
    with _aws_errors(uri):
        try:
            found = _client("s3").get_object(Bucket=bucket, Key=key, **condition)
        except ClientError as error:
            if _code(error) in _UNCHANGED:
                return None
            raise
        return found["Body"].read(), found["ETag"]


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV; None is an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def secret(secret_id: str) -> dict[str, Any]:
    """Return the JSON object in a secret. Raises InvalidInputError if it does not exist or is no JSON object."""
    with _aws_errors(f"secret {secret_id}"):
        text = _client("secretsmanager").get_secret_value(SecretId=secret_id).get("SecretString", "")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InvalidInputError(f"secret {secret_id}: must contain a JSON object")
    return value


class _ObjectExistsError(Exception):
    """The key of a conditional write exists."""


# Codes of S3: a key that does not exist, a conditional read of a version that is known already, and a conditional write
# that another writer was faster than (If-Match on a missing key is a 404, a write at the same time a 409).
_MISSING = {"NoSuchKey", "404"}
_UNCHANGED = {"NotModified", "304"}
_CHANGED = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409", *_MISSING}
# The codes of S3 and Secrets Manager for a name that does not exist or is not allowed: a retry fails again.
_PERMANENT = {
    "NoSuchKey",
    "NoSuchBucket",
    "404",
    "AccessDenied",
    "403",
    "ResourceNotFoundException",
    "AccessDeniedException",
    # a secret that is scheduled for deletion, or whose key cannot be used
    "InvalidRequestException",
    "DecryptionFailure",
}


@contextmanager
def _aws_errors(where: str) -> Iterator[None]:
    """Turn AWS errors into TransientError or InvalidInputError, with ``where`` in the message."""
    where = excerpt(where)
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code in ("PreconditionFailed", "412"):
            raise _ObjectExistsError from error
        message = f"{where}: {excerpt(code)}: {excerpt(error)}"
        if code in _PERMANENT:
            raise InvalidInputError(
                f"{message}; check that it exists and that the function's role may use it"
            ) from error
        raise TransientError(message) from error
    except BotoCoreError as error:
        raise TransientError(f"{where}: {excerpt(error)}") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@cache
def _client(service: str) -> Any:
    """Return the process's client of a service: creating one costs more than most requests."""
    return boto3.client(
        service,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "max_attempts": 4},
        ),
    )


# At import, while Lambda's init phase has a whole core: botocore reads the description of S3 once for each process. The
# client is not used, because it has the environment of the import.
with suppress(BotoCoreError):
    boto3.client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106  # no secret
