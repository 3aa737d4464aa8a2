"""Each hostile text in each place that takes a text: rejected with a clear message, or stored harmlessly.

A message is one visible, bounded line. What is stored changes no other table, stays below the run's prefix of the
bucket and is escaped where people see it. tests/command_line/test_hostile_input.py has the options of the commands,
tests/ingest/test_hostile_transport.py how a host may send.
"""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hostile import TEXTS, VALUES
from hostile_host import HostileHost
from loads import load_responses, response, rows_of

from command_line.main import main
from dashboards.report.page import write_report
from functions.backfill.request import BackfillRequest
from functions.core.cities import COLUMNS, parse_cities
from functions.core.errors import InvalidInputError, PipelineError, UpstreamContractError
from functions.core.run import Run
from functions.core.storage import coverage_key, processed_key, raw_key, rejected_key, unreadable_key
from functions.ingest.failures import reason_of
from functions.ingest.open_meteo import OpenMeteo
from functions.model.handler import lambda_handler
from functions.model.migrations import migrate
from functions.transform.response import hourly_block, locations

KIGALI = ("kigali", "Kigali", "Rwanda", "-1.95", "30.06", "Africa/Kigali", "1", "1")
AT = datetime(2026, 3, 1, tzinfo=UTC)
# A message's longest: the address of a request, and some excerpts.
LONGEST_MESSAGE = 3000


def pairs(places, values):
    return [pytest.param(place, value, id=f"{place}-{name}") for place in places for name, value in values.items()]


def is_visible(text):
    """Whether nothing in it controls what shows it; the joiners of Persian and Indian scripts control nothing."""
    return text.translate(dict.fromkeys(map(ord, "\n\u200c\u200d"))).isprintable()


def assert_clear(message):
    """A message of one line that a person can read."""
    assert message.strip()
    assert "\n" not in message
    assert is_visible(message)
    assert "Traceback" not in message
    assert len(message.encode()) <= LONGEST_MESSAGE


def city_list(column, text):
    file = io.StringIO()
    row = [text if name == column else value for name, value in zip(COLUMNS, KIGALI, strict=True)]
    csv.writer(file).writerows([COLUMNS, row])
    return file.getvalue()


def accepted_cities():
    """The cities of which one text is hostile and the list is accepted, each with an id of its own."""
    found = {}
    for column in COLUMNS[1:3]:
        for text in TEXTS.values():
            try:
                (city,) = parse_cities(city_list(column, text)).values()
            except InvalidInputError:
                continue
            found[f"c{len(found)}"] = replace(city, city_id=f"c{len(found)}")
    return found


@pytest.mark.parametrize(("column", "text"), pairs(COLUMNS, TEXTS))
def test_a_text_of_a_city_list_is_rejected_or_is_a_harmless_city(column, text):
    try:
        (city,) = parse_cities(city_list(column, text), "cities.csv").values()
    except InvalidInputError as error:
        assert_clear(str(error))
        assert "line 2" in str(error) or "line 3" in str(error)
    else:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", city.city_id)
        for name in (city.city, city.country):
            assert 0 < len(name) <= 200
            assert not set(name) & set("\0\n\r\t\x1b\u202e\u2028")
            assert name.lstrip("\u200c\u200d\u00a0\u2800 ")[:1] not in tuple("=+-@")
        assert city.timezone in ("Africa/Kigali", "UTC")


EVENT_KEYS = ("run_id", "source", "start", "end", "cities", "variables", "run_date")


def run_of_event(key, value):
    return Run.from_event({key: value}, ["kigali"], run_id="r", started_at=AT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *pairs(EVENT_KEYS, TEXTS | VALUES),
        *pairs(["cities", "variables"], {f"list of {name}": [text] for name, text in (TEXTS | VALUES).items()}),
    ],
)
def test_a_value_of_an_event_is_rejected_or_stays_below_the_runs_prefix(key, value):
    try:
        run = run_of_event(key, value)
    except InvalidInputError as error:
        assert_clear(str(error))
        assert str(error).startswith("event: ")
    else:
        prefix = f"source=forecast/date=2026-03-01/run={run.run_id}/"
        assert "/" not in run.run_id
        assert run.run_id.isascii()
        assert run.run_id[0].isalnum()
        raw = raw_key(run, 0)
        assert raw == f"raw/{prefix}part-0000.json.gz"
        assert unreadable_key(run, b"").startswith(f"raw/{prefix}unreadable-")
        for stored in (processed_key(raw), coverage_key(raw), rejected_key(raw)):
            assert stored.split("/", 1)[1].startswith(prefix)


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if text != "kigali"])
def test_a_key_of_an_event_that_is_none_is_rejected(name):
    with pytest.raises(InvalidInputError) as raised:
        run_of_event(TEXTS[name], "x")
    assert_clear(str(raised.value))
    assert str(raised.value).startswith("event: unknown key ")


@pytest.mark.parametrize(("key", "value"), pairs(("backfill_id", "start", "end", "cities", "parallel"), TEXTS | VALUES))
def test_a_value_of_a_backfills_event_is_rejected_or_is_a_harmless_id(key, value):
    event = {"start": "2026-01-01", "end": "2026-01-31"} | {key: value}
    try:
        request = BackfillRequest.from_event(event, ["kigali"], backfill_id="b", today=date(2026, 3, 1))
    except InvalidInputError as error:
        assert_clear(str(error))
    else:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}", request.backfill_id)


@pytest.fixture(scope="module")
def host():
    """A host and a variable: its next response, as status and body."""
    answer = {"status": 200, "body": b""}

    def send():
        body = answer["body"]
        yield b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (answer["status"], len(body)) + body

    with HostileHost(send) as started:
        yield started, answer


@pytest.mark.parametrize("status", [200, 400, 401, 429, 503])
@pytest.mark.parametrize("name", TEXTS)
def test_a_reason_of_the_host_is_an_excerpt_in_message_and_log(host, capsys, status, name):
    started, answer = host
    answer |= {"status": status, "body": json.dumps({"error": True, "reason": TEXTS[name]}).encode()}
    try:
        outcome = OpenMeteo().get(started.url)
    except PipelineError as error:
        assert_clear(str(error))
    else:
        # what is stored is what was sent
        assert bytes(outcome.body) == answer["body"]
        assert reason_of(outcome.body) in (TEXTS[name], answer["body"])
        if hasattr(outcome, "error"):
            assert_clear(str(outcome.error))
    for line in capsys.readouterr().out.splitlines():
        assert is_visible(line)
        assert json.loads(line)["message"] == "response from Open-Meteo"


DOCUMENT = {
    "utc_offset_seconds": 0,
    "hourly_units": {"time": "iso8601", "temperature_2m": "\u00b0C"},
    "hourly": {"time": ["2026-03-01T00:00"], "temperature_2m": [1.5]},
}
CHANGES = {
    "unit": lambda value: DOCUMENT | {"hourly_units": DOCUMENT["hourly_units"] | {"temperature_2m": value}},
    "unit of time": lambda value: DOCUMENT | {"hourly_units": DOCUMENT["hourly_units"] | {"time": value}},
    # a list of as many values as times is a column: the values are checked one by one, and rejected with their hour
    "column": lambda value: DOCUMENT | {"hourly": DOCUMENT["hourly"] | {"temperature_2m": {"x": value}}},
    "hourly": lambda value: DOCUMENT | {"hourly": value},
    "offset": lambda value: DOCUMENT | {"utc_offset_seconds": value},
    "location": lambda value: DOCUMENT | {"location_id": value},
    "error": lambda value: DOCUMENT | {"error": True, "reason": value},
    "document": lambda value: [value],
}


@pytest.mark.parametrize(("place", "value"), pairs(CHANGES, TEXTS | VALUES))
def test_a_part_of_a_response_that_breaks_the_contract_is_named_in_an_excerpt(place, value):
    body = json.dumps(CHANGES[place](value)).encode()
    with pytest.raises(UpstreamContractError) as raised:
        (location,) = locations(body, "raw/x", 1)
        hourly_block(location, 0, "raw/x: kigali", ["temperature_2m"], 1)
    assert_clear(str(raised.value))
    assert str(raised.value).startswith("raw/x")


@pytest.fixture(scope="module")
def warehouse(new_database):
    """A warehouse with every hostile name that a city list may have, and the failed runs of every hostile text."""
    url = new_database()
    migrate({"dsn": url})
    cities = accepted_cities()
    rows = [response("r1", 0, range(24), city=city_id) for city_id in cities]
    load_responses(url, replace(rows[0], hours=tuple(hour for row in rows for hour in row.hours)), cities=cities)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", url)
        patch.delenv("DATABASE_SECRET", raising=False)
        for number, text in enumerate(TEXTS.values()):
            execution = {"name": f"f{number}", "arn": f"arn:{number}", "started_at": AT.isoformat()}
            error = {"Error": text or "x", "Cause": json.dumps({"errorMessage": text, "errorType": text})}
            event = {"run_id": text, "start": text, text: text}
            failure = {"execution": execution, "event": event, "ingest": None, "error": error}
            lambda_handler({"action": "record_failure", **failure}, None)
    return url, cities


def test_what_is_stored_is_what_was_given_and_no_other_table_changes(warehouse, new_database):
    url, cities = warehouse
    assert len(cities) > 60
    stored = rows_of(url, "SELECT city_id, city, country FROM dim_city ORDER BY city_id")
    assert stored == sorted((city.city_id, city.city, city.country) for city in cities.values())
    assert rows_of(url, "SELECT count(*) FROM staging_weather") == [(24 * len(cities),)]
    assert rows_of(url, "SELECT count(*), count(DISTINCT run_id) FROM pipeline_run") == [(len(TEXTS) + 1,) * 2]
    tables = "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    other = new_database()
    migrate({"dsn": other})
    assert rows_of(url, tables) == rows_of(other, tables)
    for error, event in rows_of(url, "SELECT error, event::text FROM pipeline_run WHERE status = 'failed'"):
        assert is_visible(error)
        assert len(error.encode()) <= LONGEST_MESSAGE
        assert len(event or "") < 50_000


def test_the_report_has_every_text_escaped(warehouse, tmp_path):
    url, cities = warehouse
    text = write_report(url, tmp_path / "report.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script.*?</script>", text, flags=re.DOTALL)
    page = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    # of the library, and one for each chart: none that a name began or ended
    assert not [script for script in scripts if script.startswith("<script>alert")]
    for given in (
        "<script",
        "</script",
        "<img",
        "<svg",
        "<b>x",
        '<a href="javascript',
        "<style>*",
        "<!--",
        ' onmouseover="',
    ):
        assert given not in page
        assert not [script for script in scripts[1:] if given in script[8:-9]]
    assert "{{ 7*7 }}" in page
    assert is_visible(page)
    assert sum(len(city.city) > 60 for city in cities.values()) > 0


def test_the_terminal_shows_every_text_escaped(warehouse, monkeypatch, capsys):
    url, _ = warehouse
    monkeypatch.setenv("DATABASE_URL", url)
    for statement in ("SELECT * FROM dim_city", "SELECT * FROM pipeline_run", "SELECT * FROM mart_daily_city_weather"):
        for form in ([], ["--json"]):
            assert main(["sql", statement, *form]) == 0
            shown = capsys.readouterr()
            assert is_visible(shown.out + shown.err)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_as_sql_of_a_reader_fails_in_one_sentence_or_reads(warehouse, monkeypatch, capsys, name):
    url, _ = warehouse
    monkeypatch.setenv("DATABASE_URL", url)
    before = rows_of(url, "SELECT count(*) FROM dim_city")
    try:
        code = main(["sql", TEXTS[name]])
    except SystemExit as ended:
        code = ended.code
    shown = capsys.readouterr()
    assert code in (0, 2)
    assert "Traceback" not in shown.out + shown.err
    assert is_visible(shown.out + shown.err)
    assert rows_of(url, "SELECT count(*) FROM dim_city") == before


def test_there_are_more_than_two_hundred_hostile_inputs():
    assert len(set(TEXTS.values())) == len(TEXTS)
    assert len(TEXTS) * len(COLUMNS) > 200
