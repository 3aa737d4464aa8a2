"""The HTML report: how a browser renders it, and marts that are hard to show."""

import html
import re
import shutil
import subprocess
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg2
import pytest

from dashboards.report.colours import CONDITION_COLOURS, condition_index, condition_scale
from dashboards.report.page import write_report
from functions.core.wmo import CONDITIONS
from functions.model.migrations import migrate

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")

CITY = "INSERT INTO dim_city VALUES (%s, %s, 'Rwanda', 0, 30, 'Africa/Kigali', 1, 1, true)"
DAY = """
    INSERT INTO mart_daily_city_weather (
        city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm,
        max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, hours_expected, hours_forecast,
        hours_humidity, hours_archive, hours_heat_caution, hours_heat_extreme_caution, hours_heat_danger,
        hours_heat_extreme_danger, run_id
    ) VALUES (%s, %s, %s, 20.5, 15, 26, 70, %s, %s, 5, %s, %s, 24, 0, 24, 24, 0, 0, 0, 0, 'r')
"""
RUN = """
    INSERT INTO pipeline_run (run_id, status, source, window_start, window_end, started_at, finished_at, error, rows_in)
    VALUES (%s, %s, 'forecast', '2026-03-01', '2026-03-02', now(), now(), %s, 72)
"""
FINDING = """
    INSERT INTO quality_result (run_id, city_id, found_at, rule, date, severity, count, example)
    VALUES ('r', 'kigali', now(), %s, %s, %s, %s, %s)
"""


@pytest.fixture
def warehouse(database_url):
    migrate({"dsn": database_url})
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        yield connection.cursor()


@pytest.fixture
def report(database_url, tmp_path):
    """Returns a function that writes the report and returns its HTML."""

    def write(**options):
        return write_report(database_url, tmp_path / "report.html", **options).read_text(encoding="utf-8")

    return write


def city(warehouse, city_id, name, days, *, rain=1.5, wind=12.0, condition="Overcast", hours=24):
    warehouse.execute(CITY, (city_id, name))
    for day in days:
        warehouse.execute(DAY, (city_id, name, day, rain, wind, condition, hours))


def rendered(path: Path, folder: Path) -> str:
    """Return the page's DOM after a browser has run it, without scripts."""
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", "--window-size=1200,2000", "--virtual-time-budget=8000",
            "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)


def visible_text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@needs_chromium
def test_a_browser_renders_completeness_first_then_the_weather(warehouse, report, tmp_path):
    city(warehouse, "kigali", "Kigali", [date(2026, 3, 1), date(2026, 3, 3)])
    city(warehouse, "huye", "Huye", [date(2026, 3, 1)], hours=12, condition="Thunderstorm with hail")
    warehouse.execute(RUN, ("run-1", "partial", None))
    report(notice="This shows synthetic weather: made up, not measured.")
    page = rendered(tmp_path / "report.html", tmp_path)
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[:3] == ["Completeness", "Freshness", "Data quality"]
    assert headings[3:7] == ["Temperature", "Rain", "Wind", "Conditions"]
    assert headings[7] == "Climate and health"
    assert headings[-1] == "Recent runs"
    sections = {match[0]: match[1] for match in re.findall(r'<section id="(\w+)">(.*?)</section>', page, re.DOTALL)}
    # a heatmap each, then a chart for each city
    assert [sections[name].count('class="main-svg"') > 0 for name in ("completeness", "conditions")] == [True, True]
    for name in ("temperature", "rain", "wind"):
        assert len(re.findall(r'class="plotly-graph-div', sections[name])) == 2
    # a day without rain data has a bar of no height
    bars = re.findall(r'<g class="point"><path d="M[\d.]+,([\d.]+)V([\d.]+)', sections["rain"])
    assert len([bar for bar in bars if bar[0] != bar[1]]) == 3
    assert "12 of 24 hours" in visible_text(sections["completeness"])
    assert "no hour" in visible_text(sections["completeness"])
    assert "Thunderstorm with hail" in visible_text(sections["conditions"])
    behind = (datetime.now(UTC).date() - date(2026, 3, 3)).days
    assert f"Kigali 2026-03-01 2026-03-03 {behind} 2 1 0" in visible_text(sections["freshness"])
    assert "run-1" in visible_text(sections["runs"])
    assert "partial" in visible_text(sections["runs"])
    assert "This shows synthetic weather: made up, not measured." in visible_text(page)


@needs_chromium
@pytest.mark.parametrize("width", [320, 375])
def test_on_a_phone_nothing_is_wider_than_the_screen(warehouse, report, tmp_path, width):
    """The page is in a frame, because Chromium's window is at least 500 pixels wide."""
    city(warehouse, "kigali", "Kigali", [date(2026, 3, n) for n in range(1, 20)])
    text = report()
    framed = f"""<iframe width={width} height=2000 srcdoc="{html.escape(text)}"></iframe><script>
        onload = () => {{
            const page = document.querySelector("iframe").contentDocument.documentElement;
            document.title = `${{page.scrollWidth}} of ${{page.clientWidth}}`;
        }};
    </script>"""
    (tmp_path / "frame.html").write_text(framed, encoding="utf-8")
    page = rendered(tmp_path / "frame.html", tmp_path)
    wide, screen = map(int, re.search(r"<title>(\d+) of (\d+)</title>", page).groups())
    assert width - 20 <= screen <= width
    assert wide <= screen
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_it_needs_no_network_and_credits_open_meteo(warehouse, report):
    city(warehouse, "kigali", "Kigali", [date(2026, 3, 1)])
    text = report()
    page = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", page)
    assert '<a href="https://open-meteo.com/">Weather data by Open-Meteo.com</a>' in page
    assert "https://creativecommons.org/licenses/by/4.0/" in page


def test_the_report_of_an_empty_mart_says_so(warehouse, report):
    warehouse.execute(RUN, ("run-1", "failed", "TransientError"))
    text = visible_text(report())
    assert "The mart is empty" in text
    assert "TransientError" in text


def test_a_measure_without_any_value_has_a_message_instead_of_a_chart(warehouse, report):
    city(warehouse, "kigali", "Kigali", [date(2026, 3, 1)], rain=None)
    page = report()
    rain = page.split('id="rain"')[1].split("</section>")[0]
    wind = page.split('id="wind"')[1].split("</section>")[0]
    assert "No hour in the mart has a value for this" in rain
    assert "No hour in the mart" not in wind


def test_findings_are_listed_and_their_absence_is_stated(warehouse, report):
    city(warehouse, "kigali", "Kigali", [date(2026, 3, 1), date(2026, 3, 2)])
    assert "No finding." in report()
    for rule, day, severity, count in (
        ("large_step", date(2026, 3, 1), "warning", 2),
        ("incomplete_day", date(2026, 3, 2), "warning", 9),  # complete since
        ("impossible_value", date(2026, 3, 1), "error", 1),
        ("impossible_value", date(2026, 3, 2), "error", 1200),
    ):
        warehouse.execute(FINDING, (rule, day, severity, count, f"<b>{rule}</b>"))
    found = re.search(r'<section id="quality">(.*?)</section>', report(), re.DOTALL)[1]
    assert [visible_text(row) for row in re.findall(r"<tr><td.*?</tr>", found)] == [
        "error impossible_value Kigali 2 1201 2026-03-02 &lt;b&gt;impossible_value&lt;/b&gt;",
        "warning large_step Kigali 1 2 2026-03-01 &lt;b&gt;large_step&lt;/b&gt;",
    ]


def test_markup_in_names_is_escaped(warehouse, report):
    evil = "<script>alert(1)</script>"
    city(warehouse, "evil", evil, [date(2026, 3, 1)])
    warehouse.execute(RUN, ("run-1", "failed", "<img src=x onerror=alert(1)>"))
    text = report(notice="<b>notice</b>")
    for given in (evil, "<img src=x", "<b>notice</b>"):
        assert given not in text


def test_what_is_not_visible_is_escaped_and_an_error_is_bounded(warehouse, report):
    city(warehouse, "evil", "Ki\u202egali \x1b[31m", [date(2026, 3, 1)])
    warehouse.execute(RUN, ("run-1", "failed", "\u202e\u2028" + "x" * 7_340_032))
    text = re.sub(r"<script.*?</script>", "", report(), flags=re.DOTALL)
    assert not set("\u202e\u2028\x1b") & set(text)
    assert "Ki\\u202egali \\x1b[31m" in text
    assert "cut, 7,340,034 characters" in text
    assert len(text) < 100_000


@needs_chromium
def test_a_browser_shows_markup_in_a_name_as_text(warehouse, report, tmp_path):
    city(warehouse, "bold", "<b>Bold</b>", [date(2026, 3, 1)])
    report()
    page = rendered(tmp_path / "report.html", tmp_path)
    assert "Bold" in page
    assert "font-weight:bold" not in page


def test_cities_that_share_a_name_are_shown_with_their_ids(warehouse, report):
    city(warehouse, "a", "Kigali", [date(2026, 3, 1)])
    city(warehouse, "b", "Kigali", [date(2026, 3, 1)])
    text = report()
    page = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    for name in ("Kigali (a)", "Kigali (b)"):
        # on the charts, in the choice of the city, in the table of cities and in the table of values
        assert name in text
        assert page.count(f">{name}<") == 3


def test_long_names_are_cut_for_the_charts_and_stay_unique(warehouse, report):
    for city_id, end in (("a", "east"), ("b", "west")):
        city(warehouse, city_id, f"{'Ruhango of the thousand hills ' * 2}{end}", [date(2026, 3, 1)])
    labels = set(re.findall(r'"text":"(Ruhango[^"]*)"', report()))
    assert len(labels) == 2
    assert max(map(len, labels)) < 40


def test_an_incomplete_day_has_an_open_dot(warehouse, report):
    city(warehouse, "kigali", "Kigali", [date(2026, 3, 1)])
    city(warehouse, "huye", "Huye", [date(2026, 3, 1)], hours=12)
    assert report().count('"symbol":["circle-open"]') == 3


def test_many_cities_share_a_grid_and_the_table_states_its_limit(warehouse, report):
    for number in range(7):
        city(warehouse, f"c{number}", f"City {number}", [date.fromordinal(739_000 + n) for n in range(80)])
    text = report()
    assert len(re.findall(r'class="plotly-graph-div"', text)) == 5
    assert "The charts show the newest" not in text
    assert "the newest 500 of 560 city-days" in visible_text(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_the_charts_show_a_year_and_the_figures_count_every_day(warehouse, report):
    city(warehouse, "kigali", "Kigali", [date(2020, 3, 1), date(2025, 3, 1), date(2025, 3, 2), date(2026, 3, 1)])
    city(warehouse, "huye", "Huye", [date(2019, 3, 1)], hours=12)
    text = re.sub(r"<script>/\*.*?</script>", "", report(), flags=re.DOTALL)
    assert "The charts show the newest 366 days." in text
    assert "City-days 5 Complete 4 of 5 Newest day 2026-03-01" in visible_text(text)
    charts = text.split('id="temperature"')[1].split("</section>")[0]
    assert '"x":["2025-03-01",' in charts
    assert "2020-03-01" not in charts
    assert "the newest 3 of 5 city-days" in visible_text(text)


def test_a_large_grid_has_no_text_for_each_cell(warehouse, report, monkeypatch):
    for number in range(7):
        city(warehouse, f"c{number}", f"City {number}", [date(2026, 3, 1)])
    assert "24 of 24 hours" in report()
    monkeypatch.setattr("dashboards.report.page._CELLS_WITH_TEXT", 6)
    text = report()
    assert "24 of 24 hours" not in text
    assert '"Overcast"' in text


def test_the_previous_report_remains_when_the_warehouse_cannot_be_read(warehouse, report, tmp_path):
    report()
    before = (tmp_path / "report.html").read_text()
    warehouse.execute("DROP VIEW IF EXISTS x; ALTER TABLE pipeline_run RENAME TO gone")
    with pytest.raises(psycopg2.Error):
        report()
    assert (tmp_path / "report.html").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def channels(colour):
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]


def luminance(colour):
    """The relative luminance of WCAG 2: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_each_condition_has_a_colour_of_its_own_and_overcast_is_grey():
    assert set(CONDITION_COLOURS) == set(CONDITIONS.values())
    assert len(set(CONDITION_COLOURS.values())) == len(CONDITIONS)
    assert max(channels(CONDITION_COLOURS["Overcast"])) - min(channels(CONDITION_COLOURS["Overcast"])) <= 12


@pytest.mark.parametrize("condition", CONDITION_COLOURS)
def test_a_cell_has_the_colour_of_its_condition_and_readable_text(condition):
    colour = CONDITION_COLOURS[condition]
    position = (condition_index(condition) + 0.5) / len(CONDITION_COLOURS)
    below = [step for edge, step in condition_scale() if edge < position]
    above = [step for edge, step in condition_scale() if edge > position]
    assert (below[-1], above[0]) == (colour, colour)
    # Plotly writes on a dark colour in white, on a light one in #444
    red, green, blue = channels(colour)
    text = "#ffffff" if (299 * red + 587 * green + 114 * blue) / 1000 < 128 else "#444444"
    low, high = sorted((luminance(colour), luminance(text)))
    assert (high + 0.05) / (low + 0.05) >= 4.5
