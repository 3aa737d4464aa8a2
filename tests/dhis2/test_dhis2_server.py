"""A server of DHIS2 that is wrong, hostile or out of order: one sentence, bounded memory, the token to nobody else."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from dhis2.contract_server import TOKEN, ContractServer
from hostile_host import CHUNKED, OK, HostileHost

from deployment.errors import UserError
from operations.dhis2 import server as module
from operations.dhis2.import_summary import ImportSummary, summary_of
from operations.dhis2.server import Dhis2
from operations.dhis2.values import DataValue

VALUES = [
    DataValue("kigali", "hot_days", "2026W47", "3", "OrgKigali01", "ElemHotDays", None, None),
    DataValue("musanze", "rain_days", "2026W48", "1", "OrgMusanze1", "ElemRainDay", None, None),
]


def sent(url, token=TOKEN):
    return Dhis2(url, token).import_values(VALUES, None, is_dry_run=True)


@contextmanager
def responding(*responses):
    with ContractServer() as server:
        server.instead = [(status, body, headers) for status, body, headers in responses]
        yield server


@pytest.mark.parametrize(
    "address",
    ["http://dhis2.example", "ftp://dhis2.example", "dhis2.example", "", "https://user:pw@dhis2.example", "https://h/?x=1",
     "https://h/#x", "http://169.254.169.254", "https://[fe80::1]", "https://h:0", "https://h\n.example", "https://é.example",
     "http://127.0.0.1.example", "http://localhost.example"],
)  # fmt: skip
def test_an_address_that_would_get_the_token_readable_or_is_none_is_rejected_and_not_repeated(address):
    with pytest.raises(UserError, match=r"^--post: is ") as raised:
        Dhis2(address, TOKEN)
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize("path", ["", "/", "/api", "/api/", "/api/dataValueSets"])
def test_the_address_of_the_server_or_of_its_api_is_given(path):
    with ContractServer() as server:
        sent(server.url + path)
        assert server.requests[0][0] == "/api/dataValueSets"


@pytest.mark.parametrize("token", [None, "", "a b", "a\nb", "é", "a\r\nX-Y: z"])
def test_a_token_that_is_missing_or_cannot_be_one_is_rejected_and_not_repeated(token):
    with pytest.raises(UserError, match="DHIS2_TOKEN") as raised:
        Dhis2("https://dhis2.example", token)
    assert "X-Y" not in str(raised.value)


def test_a_wrong_token_is_said_and_not_repeated():
    with (
        ContractServer() as server,
        pytest.raises(UserError, match="401: Unauthorized; the token in DHIS2_TOKEN") as raised,
    ):
        sent(server.url, "w-r-o-n-g")
    assert "w-r-o-n-g" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (403, b'{"message": "Access is denied"}', "403: Access is denied; the user of the token needs the right"),
        (404, b"<html>", "404; there is no /api/dataValueSets of DHIS2, check the address"),
        (200, b"<html>", "200; there is no /api/dataValueSets of DHIS2"),
        (200, b'{"response": {"id": "x", "jobType": "DATAVALUE_IMPORT"}}', "200; there is no"),
        (200, b"null", "200; there is no"),
        (200, b'{"importCount": 1}', "200; there is no"),
        (409, b'{"status": "ERROR", "message": "x"}', "409: x; DHIS2 does not accept the request"),
        (415, b"", "415; DHIS2 does not accept the request"),
        (429, b"", "429; the server is busy"),
        (502, b"<html>", "502; the server is busy or has a fault, repeat later"),
        (500, b'{"message": {"a": 1}}', "500: {'a': 1}; the server is busy"),
        (200, b"[" * 100_000, "200; there is no"),
        (200, b"[]" * 200_000, "200; there is no"),
        (200, b'{"importCount": ' + b"9" * 10_000 + b"}", "200; there is no"),
    ],
)  # fmt: skip
def test_a_response_without_a_summary_is_one_sentence(status, body, says):
    with responding((status, body, {})) as server, pytest.raises(UserError) as raised:
        sent(server.url)
    assert says in str(raised.value)


def test_no_redirect_is_followed_and_its_host_never_gets_the_token():
    with ContractServer() as other, responding((302, b"", {"Location": f"{other.url}/api/dataValueSets"})) as server:
        with pytest.raises(UserError, match="302: redirects elsewhere, which is not followed"):
            sent(server.url)
        assert not other.requests


def test_a_login_in_netrc_is_not_sent_instead_of_the_token(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with ContractServer() as server:
        assert sent(server.url)["importCount"]["ignored"] == 2


def test_a_server_that_repeats_the_token_does_not_get_it_into_a_message():
    body = json.dumps({"message": f"bad {TOKEN}"}).encode()
    with responding((500, body, {})) as server, pytest.raises(UserError, match=r"bad \[token\]") as raised:
        sent(server.url)
    assert TOKEN not in str(raised.value)
    summary = ImportSummary()
    document = {"importCount": {}, "conflicts": [{"object": TOKEN, "value": f"{TOKEN} unknown", "errorCode": TOKEN}]}
    summary.add(document, VALUES, Dhis2("https://dhis2.example", TOKEN).said)
    assert TOKEN not in repr(summary)


def test_a_server_that_does_not_respond_is_named(unused=9):
    with pytest.raises(
        UserError, match=r"DHIS2 http://127\.0\.0\.1:9: does not respond \(.*refused.*check the address"
    ):
        sent(f"http://127.0.0.1:{unused}")


@pytest.mark.parametrize("head", [OK, b"HTTP/1.1 302 Found\r\nLocation: /\r\n"], ids=["200", "302"])
def test_a_response_of_any_size_is_bounded(head, monkeypatch):
    monkeypatch.setattr(module, "REQUEST_SECONDS", 60.0)

    def endless():
        yield head + CHUNKED
        while True:
            yield b"10000\r\n" + b"x" * 65536 + b"\r\n"

    with HostileHost(endless) as host, pytest.raises(UserError, match="sent more than 16 MB"):
        sent(host.url)


def test_a_response_that_never_ends_is_given_up_at_the_deadline(monkeypatch):
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.5)
    ended = threading.Event()

    def slow():
        yield OK + b"Content-Length: 1000\r\n\r\n"
        while not ended.wait(0.05):
            yield b" "

    with HostileHost(slow) as host:
        started = time.monotonic()
        with pytest.raises(UserError, match="does not respond"):
            sent(host.url)
        assert time.monotonic() - started < 60
        ended.set()


HOSTILE_SUMMARIES = [
    {"importCount": {"imported": "1", "updated": -1, "ignored": True, "deleted": 1.5}},
    {"importCount": {}, "conflicts": "x", "rejectedIndexes": 5},
    {"importCount": {}, "conflicts": [None, 1, [], {"indexes": [-1, 99, True, "0", None]}], "rejectedIndexes": [-1, 2]},
    {"importCount": {}, "conflicts": [{"object": {"a": 1}, "value": ["x"], "property": ["y"], "errorCode": {}}]},
    {"importCount": {}, "conflicts": [{"value": "\x1b[31m\u202e" + "x" * 10_000}], "status": ["ERROR"]},
    {"importCount": {}, "conflicts": [{"value": str(n)} for n in range(5000)]},
]


@pytest.mark.parametrize("document", HOSTILE_SUMMARIES, ids=range(len(HOSTILE_SUMMARIES)))
def test_a_summary_of_any_content_is_read_and_bounded(document):
    summary = ImportSummary()
    assert summary_of({"response": document}) is document
    summary.add(document, VALUES, Dhis2("https://dhis2.example", TOKEN).said)
    assert len(summary.conflicts) <= 1000
    assert all(reason.isprintable() and len(reason.encode()) < 600 for reason in summary.conflicts)
    assert min(summary.imported, summary.updated, summary.ignored, summary.deleted, summary.refused) >= 0
    assert summary.is_accepted != bool(summary.refused or summary.conflicts)


def test_a_warning_without_a_conflict_is_not_accepted():
    summary = ImportSummary()
    summary.add(
        {"importCount": {"imported": 2}, "status": "ERROR", "description": "The import process failed"}, VALUES, str
    )
    assert list(summary.conflicts) == ["The import process failed"]
    assert not summary.is_accepted


@pytest.mark.parametrize("count", [{}, {"imported": 1}])
def test_a_value_that_is_not_counted_is_not_accepted_unless_it_is_a_zero(count):
    zero = replace(VALUES[0], value="0")
    document = {"importCount": count, "status": "SUCCESS", "conflicts": []}
    for batch, missing in (([*VALUES, zero], 2 - len(count)), ([VALUES[0], zero], 1 - len(count))):
        summary = ImportSummary()
        summary.add(document, batch, str)
        assert summary.not_counted == 1
        assert list(summary.conflicts) == ["DHIS2's summary does not count them"] * bool(missing)
        assert summary.is_accepted != bool(missing)
        assert [conflict.values for conflict in summary.conflicts.values()] == [missing] * bool(missing)


def test_an_import_that_ends_with_an_error_refuses_all():
    summary = ImportSummary()
    document = {"importCount": {"ignored": 2}, "status": "ERROR", "description": "Import failed", "conflicts": []}
    summary.add(document, VALUES, str)
    assert (summary.refused, list(summary.conflicts)) == (2, ["Import failed"])
    summary.add({"importCount": {"imported": 1, "ignored": 1}, "rejectedIndexes": [1, 1]}, VALUES, str)
    assert summary.refused == 3


def test_the_token_goes_to_this_machine_without_a_proxy(monkeypatch):
    with ContractServer() as server, ContractServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        proxy.instead = [(502, b"", {})]
        sent(server.url)
        assert len(server.requests) == len(proxy.instead) == 1


def test_an_object_without_indexes_is_named_as_what_it_is():
    summary = ImportSummary()
    for uid in ("OrgMusanze1", "ElemHotDays", "2026W47", "nothing"):
        summary.add(
            {"importCount": {"ignored": 1}, "conflicts": [{"object": uid, "value": f"{uid} is wrong"}]}, VALUES, str
        )
    found = [(list(c.cities), list(c.measures), list(c.periods)) for c in summary.conflicts.values()]
    assert found == [(["musanze"], [], []), ([], ["hot_days"], []), ([], [], ["2026W47"]), ([], [], [])]
    assert summary.refused == 4
