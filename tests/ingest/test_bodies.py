"""Which bodies decode to data: msgspec decides as Python's json, for every body."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.ingest.open_meteo import _is_data

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.just("error"), inner),
    max_leaves=8,
)  # fmt: skip
_pieces = st.sampled_from(
    [
        b"",
        b",",
        b"]",
        b"}",
        b'"',
        b"\\",
        b"NaN",
        b"-",
        b"0",
        b".",
        b"\xff",
        b"\xed\xa0\x80",
        b'"\\ud800"',
        b"\n",
        b"\x00",
    ]
)


def decodes_for_json(body):
    try:
        decoded = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(decoded, list) or (isinstance(decoded, dict) and not decoded.get("error"))


@given(_json, st.booleans(), st.integers(0, 60), st.integers(0, 3), _pieces)
@example([1], False, 0, 0, b"\xef\xbb\xbf")
@example({"error": False}, False, 60, 0, b"")
def test_a_body_decodes_exactly_if_it_does_for_pythons_json(value, is_ascii, position, removed, piece):
    body = json.dumps(value, ensure_ascii=is_ascii).encode(errors="surrogatepass")
    body = body[:position] + piece + body[position + removed :]
    assert _is_data(body) == decodes_for_json(body)
    assert _is_data(bytearray(body)) == decodes_for_json(body)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le", "utf-8-sig", "latin-1"])
def test_a_body_in_another_encoding_decodes_if_it_does_for_pythons_json(encoding):
    body = '[{"hourly_units": {"temperature_2m": "\u00b0C"}}]'.encode(encoding)
    assert _is_data(body) == decodes_for_json(body) == (encoding != "latin-1")


def test_a_nested_body_that_no_decoder_reads_is_no_data():
    assert not _is_data(b"[" * 100_000)
