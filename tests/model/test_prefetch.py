"""The objects of a load: read ahead, in streams, each once."""

import gzip
import threading

import pytest

from functions.core.contracts import ProcessedPart
from functions.core.errors import InvalidInputError
from functions.core.storage import coverage_key, processed_key
from functions.model.prefetch import prefetched

PARTS = [ProcessedPart(f"raw/part-{n:04d}.json.gz", "0" * 64, 1, 0, 0.1) for n in range(3)]
FIRST, SECOND, THIRD = (processed_key(part.raw_key) for part in PARTS)


class Reads:
    """A store that counts its reads."""

    def __init__(self):
        self.keys = []
        self.second = threading.Event()

    def __call__(self, key):
        self.keys.append(key)
        if key == SECOND:
            self.second.set()
        if key == THIRD:
            raise InvalidInputError(f"{key}: NoSuchKey")
        return gzip.compress(f"{key}\n".encode() * 1000)


def test_an_object_is_a_stream_of_its_csv_and_the_next_one_is_read_meanwhile():
    reads = Reads()
    with prefetched(reads, PARTS) as open_part, open_part(FIRST) as stream:
        assert stream.read(5) == b"proce"
        assert reads.second.wait(10)
        assert len(stream.read()) == 1000 * (len(FIRST) + 1) - 5
    assert sorted(reads.keys) == [FIRST, SECOND]


def test_each_object_is_read_once_and_none_that_is_not_near():
    reads = Reads()
    with prefetched(reads, PARTS) as open_part:
        for part in PARTS:
            with open_part(coverage_key(part.raw_key)) as stream:
                stream.read()
    assert sorted(reads.keys) == [coverage_key(part.raw_key) for part in PARTS]


def test_an_error_of_a_read_is_raised_where_the_object_is_opened():
    with prefetched(Reads(), PARTS) as open_part:
        with open_part(SECOND) as stream:
            stream.read()
        with pytest.raises(InvalidInputError, match="NoSuchKey"), open_part(THIRD):
            pass


def test_a_truncated_object_is_an_error_of_its_stream():
    whole = gzip.compress(b"a,b\n" * 1000)
    with (
        prefetched(lambda _: whole[:-20], PARTS) as open_part,
        pytest.raises(EOFError),
        open_part(FIRST) as stream,
    ):
        stream.read()
