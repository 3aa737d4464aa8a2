"""The event of a backfill: wrong input is named before anything is written."""

from datetime import date

import pytest

from functions.backfill.request import BackfillRequest
from functions.core.errors import InvalidInputError

CITIES = ("kigali", "musanze", "huye")
WINDOW = {"start": "2020-01-01", "end": "2024-12-31"}
TODAY = date(2026, 11, 24)


def request(event):
    return BackfillRequest.from_event(event, CITIES, backfill_id="execution", today=TODAY)


def test_an_event_with_a_window_means_all_cities_and_the_executions_name():
    assert request(WINDOW) == BackfillRequest("execution", date(2020, 1, 1), date(2024, 12, 31), (), None)


def test_an_event_may_name_everything():
    event = {**WINDOW, "backfill_id": "five-years", "cities": ["huye", "kigali", "huye"], "parallel": 4}
    found = request(event)
    assert (found.backfill_id, found.cities, found.parallel) == ("five-years", ("huye", "kigali"), 4)


def test_an_event_with_an_id_alone_means_the_stored_backfill():
    assert request({"backfill_id": "b"}).start is None


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ([], "must be a JSON object, not list"),
        ({"begin": "2020-01-01"}, "unknown key 'begin'; known keys are backfill_id, start, end, cities, parallel"),
        ({"start": "2020-01-01"}, "end is missing"),
        ({"end": "2020-01-01"}, "start is missing"),
        ({"start": "2020-01-02", "end": "2020-01-01"}, "end 2020-01-01 is before start 2020-01-02"),
        ({"start": "1939-12-31", "end": "2020-01-01"}, "start 1939-12-31 is before 1940-01-01, the first day of"),
        ({"start": "2020-01-01", "end": "2026-11-25"}, "end 2026-11-25 is in the future; the archive ends today"),
        ({"start": "1.1.2020", "end": "2020-01-01"}, "start '1.1.2020' must be a day as YYYY-MM-DD"),
        ({"start": "2020-02-30", "end": "2020-03-01"}, "start '2020-02-30' must be a day"),
        ({**WINDOW, "cities": ["atlantis"]}, "no such city 'atlantis' in the city list"),
        ({**WINDOW, "cities": []}, "cities must be a list of city ids"),
        ({**WINDOW, "cities": "kigali"}, "cities must be a list of city ids"),
        ({**WINDOW, "parallel": 0}, "parallel 0 must be a whole number from 1 to 40"),
        ({**WINDOW, "parallel": True}, "parallel True must be"),
        ({**WINDOW, "parallel": 41}, "parallel 41 must be"),
        ({**WINDOW, "backfill_id": "../x"}, "backfill_id '../x' must be"),
        ({**WINDOW, "backfill_id": "x" * 51}, "must be 1 to 50 letters"),
    ],
)
def test_wrong_input_is_rejected_by_name(event, reason):
    with pytest.raises(InvalidInputError, match=reason):
        request(event)
