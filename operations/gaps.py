"""The city-days that the daily mart lacks or has incomplete, as windows to request."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from dashboards.warehouse import query
from functions.backfill.planner import Window
from functions.core.cities import City

_GAPS = (Path(__file__).parent / "gaps.sql").read_text(encoding="utf-8")


def find(url: str, cities: Sequence[City], window: tuple[date, date]) -> dict[Window, list[str]]:
    """Return the cities of each window of UTC days that their gaps in ``window`` lie in.

    A local day is a gap if the mart has fewer of its hours than the window, or has forecast hours of it.
    """
    found: dict[Window, list[str]] = {}
    parameters = {
        "cities": [city.city_id for city in cities],
        "zones": [city.timezone for city in cities],
        "start": window[0],
        "end": window[1],
    }
    for row in query(url, _GAPS, parameters):
        found.setdefault((row["first_day"], row["last_day"]), []).append(row["city_id"])
    return found
