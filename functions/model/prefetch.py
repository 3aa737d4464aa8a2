"""The objects of a load, read from S3 while the ones before them are copied into Postgres."""

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from isal import igzip

from functions.core.contracts import ProcessedPart
from functions.core.storage import coverage_key, processed_key, quality_key
from functions.model.copying import OpenPart

# Coverage and quality objects are small and read first; an object of hours takes about 2 MB.
_SMALL_AHEAD, _HOURS_AHEAD = 4, 1


@contextmanager
def prefetched(read: Callable[[str], bytes], parts: Sequence[ProcessedPart]) -> Iterator[OpenPart]:
    """Return a function that opens the objects of ``parts`` by key, in order, as streams of CSV.

    ``read`` returns a gzipped object; its errors are raised when the object is opened. Opening an object starts to read
    the next ones: an object that no load opens, since its response repeats another one, costs no request.
    """
    ahead: dict[str, list[str]] = {}
    for key_of, count in (coverage_key, _SMALL_AHEAD), (quality_key, _SMALL_AHEAD), (processed_key, _HOURS_AHEAD):
        keys = [key_of(part.raw_key) for part in parts]
        ahead |= {key: keys[place : place + count + 1] for place, key in enumerate(keys)}
    reads: dict[str, Future[bytes]] = {}
    pool = ThreadPoolExecutor(_SMALL_AHEAD)

    @contextmanager
    def open_part(key: str) -> Iterator[io.BufferedIOBase]:
        for each in ahead[key]:
            if each not in reads:
                reads[each] = pool.submit(read, each)
        body = reads[key].result()
        # its place stays taken, so that it is not read again
        reads[key] = Future()
        with igzip.IGzipFile(fileobj=io.BytesIO(body)) as stream:
            yield stream

    try:
        yield open_part
    finally:
        pool.shutdown(cancel_futures=True)
