"""The mart as one HTML page that needs no network: completeness and freshness first, then the weather.

Its rows come from ``dashboards/questions``, so the page and the Metabase dashboards show the same data.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from dashboards.questions import Question, load_question
from dashboards.report.climate import climate, read
from dashboards.report.colours import CONDITION_COLOURS, condition_index, condition_scale
from dashboards.report.labels import chart_label
from dashboards.report.rows import Json, Rows, read_rows
from dashboards.warehouse import reading

# Up to this many cities get a chart each; more become rows of one coloured grid.
_CITIES_WITH_A_CHART = 6
# Up to this many days a grid's cells show their value as text.
_DAYS_WITH_TEXT = 4
# A grid of more cells has only its values, without a text for each: with 100 cities and a year that saves 3 MB.
_CELLS_WITH_TEXT = 10_000
# The table at the end holds at most this many city-days, the newest: a longer one is slow in a browser.
_ROWS_IN_TABLE = 500
# The charts of days show at most this many, the newest: more do not fit on a screen, and the page stays small.
_DAYS = 366
_WEATHER = ("completeness", "temperature", "rain", "wind", "conditions")
_FOLDER = Path(__file__).parent
_SCRIPTS = ("climate.js", "printing.js")
_INK, _GRID = "#1f2933", "#e4e7eb"
_RAIN, _WIND, _MEAN, _RANGE = "#2b6cb0", "#5b6b7b", "#c05621", "rgba(192, 86, 33, 0.22)"
# From missing to complete.
_COMPLETENESS = ((0, "#b3261e"), (0.5, "#f2b84b"), (0.999, "#f7e3a1"), (1, "#2f855a"))

# Rows of one question by city label and day.
Days = dict[str, dict[date, Json]]


@dataclass(frozen=True, slots=True)
class Section:
    """One question: its charts as HTML, or a message in their place."""

    title: str
    description: str
    charts: Sequence[Markup] = ()
    message: str = ""


def write_report(database_url: str, path: Path, *, notice: str = "") -> Path:
    """Write the report of a warehouse to ``path`` atomically, and return ``path``.

    ``notice`` is a sentence for the top of the page, for weather that is not today's. Raises OSError when
    the file cannot be written, psycopg2.Error when the warehouse cannot be read.
    """
    page = render(*_read(database_url), notice=notice, now=datetime.now(UTC))
    # the process id in the name: another process may write the report at the same time
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        draft.write_text(page, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _read(database_url: str) -> tuple[dict[str, Question], dict[str, Rows]]:
    questions = {name: load_question(name) for name in (*_WEATHER, "freshness", "quality_findings", "recent_runs")}
    with reading(database_url) as connection:
        results = {name: read_rows(connection, questions[name]) for name in questions if name not in _WEATHER}
        if newest := _newest(results["freshness"]):
            after = newest - timedelta(days=_DAYS)
            for name in _WEATHER:
                results[name] = read_rows(connection, questions[name], "date > %(after)s", after=after)
            _add_ids_to_shared_names(results)
            results |= read(connection, list(_cities(results["freshness"])), newest)
    return questions, results


def render(questions: dict[str, Question], results: dict[str, Rows], *, notice: str, now: datetime) -> str:
    """Return the page as HTML."""
    newest = _newest(results["freshness"])
    in_all = sum(city["days"] for city in results["freshness"])
    pages = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, trim_blocks=True)
    pages.filters |= {"cell": _cell, "whole": _whole, "verdict": _verdict}
    pages.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return pages.get_template("page.html.j2").render(
        now=now,
        notice=notice,
        facts=_facts(results["freshness"], results["recent_runs"], now),
        sections=list(_sections(questions, results)) if newest else [],
        climate=climate(results, _cities(results["freshness"]), newest) if newest else None,
        days_in_charts=_DAYS if in_all > len(results.get("completeness", ())) else None,
        freshness=questions["freshness"],
        cities=results["freshness"],
        quality_question=questions["quality_findings"],
        findings=results["quality_findings"],
        runs_question=questions["recent_runs"],
        runs=results["recent_runs"],
        rows=_mart_rows(results) if newest else [],
        rows_in_all=in_all,
        plotly=Markup(get_plotlyjs()) if newest else "",  # noqa: S704  # part of the library
        scripts=[Markup((_FOLDER / name).read_text("utf-8")) for name in _SCRIPTS],  # noqa: S704  # our own
    )


def _cities(freshness: Rows) -> dict[str, str]:
    """Return the names of the cities that have a day, by id, sorted by name."""
    return {row["city_id"]: row["city"] for row in sorted(freshness, key=lambda row: row["city"]) if row["first_day"]}


def _newest(freshness: Rows) -> date | None:
    return max((row["last_day"] for row in freshness if row["last_day"]), default=None)


def _facts(freshness: Rows, runs: Rows, now: datetime) -> list[tuple[str, str]]:
    """Return label and value of the figures at the top: how much data, how complete, how fresh."""
    days = sum(city["days"] for city in freshness)
    complete = days - sum(city["incomplete_days"] for city in freshness)
    newest = _newest(freshness)
    last_good = next((run for run in runs if run["status"] != "failed"), None)
    facts = [
        ("Cities", str(len(_cities(freshness)))),
        ("City-days", f"{days:,}"),
        ("Complete", f"{complete:,} of {days:,}"),
        ("Newest day", newest.isoformat() if newest else "none"),
        ("Last good run", _ago(now - last_good["started_at"]) if last_good else "none"),
    ]
    if runs and runs[0]["status"] != "succeeded":
        facts.append(("Latest run", runs[0]["status"]))
    return facts


def _ago(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 120:
        return f"{minutes} min before this page"
    hours = minutes // 60
    return f"{hours} h before this page" if hours < 48 else f"{hours // 24} days before this page"


def _sections(questions: dict[str, Question], results: dict[str, Rows]) -> Iterable[Section]:
    first = min(row["date"] for row in results["completeness"])
    last = max(row["date"] for row in results["completeness"])
    dates = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for name, measure, draw in (
        ("completeness", "percent_observed", _completeness),
        ("temperature", "avg_temperature_c", _temperature),
        ("rain", "precipitation_mm", _rain),
        ("wind", "max_wind_speed_kmh", _wind),
        ("conditions", "dominant_condition", _conditions),
    ):
        question, rows = questions[name], results[name]
        if all(row[measure] is None for row in rows):
            message = "No hour in the mart has a value for this: the weather that was loaded does not contain it."
            yield Section(question.title, question.description, message=message)
        else:
            figures = draw(_by_city(rows), dates)
            yield Section(question.title, question.description, [_markup(figure) for figure in figures])


def _add_ids_to_shared_names(results: dict[str, Rows]) -> None:
    """Append the id to the name of cities that share a name, in place."""
    ids: dict[str, set[str]] = defaultdict(set)
    for row in results["freshness"]:
        ids[row["city"]].add(row["city_id"])
    for rows in results.values():
        for row in rows:
            if len(ids[row.get("city", "")]) > 1:
                row["city"] = f"{row['city']} ({row['city_id']})"


def _by_city(rows: Rows) -> Days:
    """Return rows by city label and day, in the order of the labels."""
    cities: Days = defaultdict(dict)
    names: dict[str, str] = {}
    for row in rows:
        name = names.setdefault(row["city_id"], chart_label(row["city"], row["city_id"], names.values()))
        cities[name][row["date"]] = row
    return dict(sorted(cities.items()))


def _completeness(cities: Days, dates: list[date]) -> Iterable[go.Figure]:
    def label(row: Json | None) -> str:
        if row is None:
            return "no hour"
        ahead = f", {row['hours_forecast']} of them forecast" if row["hours_forecast"] else ""
        return f"{row['hours_observed']} of {row['hours_expected']} hours{ahead}"

    def percent(row: Json | None) -> float:
        return row["percent_observed"] if row else 0.0

    yield _grid(cities, dates, percent, label, colorscale=_COMPLETENESS, zmin=0, zmax=100, unit="%")


def _temperature(cities: Days, dates: list[date]) -> Iterable[go.Figure]:
    if len(cities) > _CITIES_WITH_A_CHART:
        yield _grid(
            cities,
            dates,
            lambda row: row and row["max_temperature_c"],
            lambda row: (
                f"{_cell(row['min_temperature_c'])} to {_cell(row['max_temperature_c'])} °C, "
                f"mean {_cell(row['avg_temperature_c'])} °C"
                if row
                else "no hour"
            ),
            colorscale="RdYlBu_r",
            unit="°C, highest",
        )
        return
    for city, days in cities.items():
        low, mean, high = (
            [days.get(day, {}).get(f"{kind}_temperature_c") for day in dates] for kind in ("min", "avg", "max")
        )
        marks = "lines+markers" if len(dates) < 40 else "lines"
        line = {"color": _MEAN, "width": 1}
        # an open dot marks an incomplete day, which may lack its warmest or coldest hours
        open_days = [bool(days.get(day, {}).get("is_incomplete")) for day in dates]
        dots = {"size": 6, "symbol": ["circle-open" if is_open else "circle" for is_open in open_days]}
        yield _figure(
            city,
            go.Scatter(x=dates, y=high, mode=marks, name="highest", line=line, marker=dots),
            go.Scatter(
                x=dates, y=low, mode=marks, name="lowest", line=line, marker=dots, fill="tonexty", fillcolor=_RANGE,
            ),
            go.Scatter(x=dates, y=mean, mode=marks, name="mean", line={"color": _MEAN, "width": 3}, marker=dots),
            unit="°C",
        )  # fmt: skip


def _rain(cities: Days, dates: list[date]) -> Iterable[go.Figure]:
    yield from _measure(
        cities, dates, "precipitation_mm", "mm", "Blues", lambda x, y: go.Bar(x=x, y=y, marker_color=_RAIN)
    )


def _wind(cities: Days, dates: list[date]) -> Iterable[go.Figure]:
    yield from _measure(
        cities,
        dates,
        "max_wind_speed_kmh",
        "km/h",
        "Greys",
        lambda x, y: go.Scatter(x=x, y=y, line={"color": _WIND}, mode="lines+markers"),
    )


def _measure(cities: Days, dates: list[date], measure: str, unit: str, colours: str, trace: Any) -> Iterable[go.Figure]:
    """Draw one measure: a chart for each city, or one grid for many cities."""
    if len(cities) > _CITIES_WITH_A_CHART:
        yield _grid(
            cities,
            dates,
            lambda row: row and row[measure],
            lambda row: f"{_cell(row[measure])} {unit}" if row and row[measure] is not None else "no value",
            colorscale=colours,
            zmin=0,
            unit=unit,
        )
        return
    for city, days in cities.items():
        yield _figure(city, trace(dates, [days.get(day, {}).get(measure) for day in dates]), unit=unit)


def _conditions(cities: Days, dates: list[date]) -> Iterable[go.Figure]:
    yield _grid(
        cities,
        dates,
        lambda row: condition_index(row["dominant_condition"]) if row else None,
        lambda row: (row and row["dominant_condition"]) or "no code",
        colorscale=condition_scale(),
        zmin=-0.5,
        zmax=len(CONDITION_COLOURS) - 0.5,
        unit="",
        scale=False,
    )


def _grid(
    cities: Days,
    dates: list[date],
    value: Any,
    label: Any,
    *,
    unit: str,
    scale: bool = True,
    **colours: Any,
) -> go.Figure:
    """Return a heatmap with a row for each city and a column for each day from the first to the last."""
    has_text = scale is False or len(cities) * len(dates) <= _CELLS_WITH_TEXT
    figure = go.Figure(
        go.Heatmap(
            x=dates,
            y=list(cities),
            z=[[value(days.get(day)) for day in dates] for days in cities.values()],
            text=[[label(days.get(day)) for day in dates] for days in cities.values()] if has_text else None,
            texttemplate="%{text}" if len(dates) <= _DAYS_WITH_TEXT else None,
            hovertemplate=f"%{{y}}, %{{x|%Y-%m-%d}}: {'%{text}' if has_text else '%{z} ' + unit}<extra></extra>",
            xgap=1 if len(dates) < 120 else 0,
            ygap=1,
            showscale=scale,
            colorbar={"title": {"text": unit}, "thickness": 10},
            **colours,
        )
    )
    figure.update_yaxes(autorange="reversed", type="category", automargin=True)
    return _with_layout(figure, dates, top=8, height=70 + max(18, min(44, 900 // len(cities))) * len(cities))


def _figure(city: str, *traces: Any, unit: str) -> go.Figure:
    figure = go.Figure(traces)
    figure.update_layout(title={"text": city, "x": 0.02, "font": {"size": 15}}, showlegend=len(traces) > 1)
    figure.update_layout(legend={"orientation": "h", "y": -0.2}, bargap=0.3)
    figure.update_yaxes(title_text=unit, gridcolor=_GRID, zeroline=False)
    return _with_layout(figure, traces[0].x, top=36, height=280)


def _with_layout(figure: go.Figure, dates: Sequence[date], top: int, height: int) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": top, "b": 30},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "color": _INK},
        hovermode="closest",
    )
    # whole days only: by default Plotly labels hours in a short range
    figure.update_xaxes(tickformat="%-d %b %Y" if len(dates) < 4 else None, type="date", showgrid=False)
    if len(dates) < 8:
        figure.update_xaxes(tickvals=list(dates), tickformat="%-d %b")
    return figure


def _markup(figure: go.Figure) -> Markup:
    drawn = figure.to_html(
        full_html=False, include_plotlyjs=False, config={"responsive": True, "displayModeBar": False}
    )
    return Markup(drawn)  # noqa: S704  # Plotly escapes the data it embeds


def _mart_rows(results: dict[str, Rows]) -> Rows:
    """Return the newest city-days with the columns of all questions, newest first."""
    merged: dict[tuple[str, date], Json] = {}
    for name in ("temperature", "rain", "wind", "conditions", "completeness"):
        for row in results[name]:
            merged.setdefault((row["city_id"], row["date"]), {}).update(row)
    newest = sorted(merged.values(), key=lambda row: (-row["date"].toordinal(), row["city"]))
    return newest[:_ROWS_IN_TABLE]


def _cell(value: Any) -> str:
    """Return a value as text for a table cell."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def _whole(value: float | None) -> str:
    """Return a value without its fraction as text for a table cell."""
    return "" if value is None else f"{value:,.0f}"


def _verdict(value: bool | None) -> Markup:
    """Return a condition as text for a table cell."""
    return _VERDICTS[value]


_VERDICTS = {
    True: Markup('<span class="yes">yes</span>'),
    False: Markup('<span class="no">no</span>'),
    None: Markup("unknown"),
}
