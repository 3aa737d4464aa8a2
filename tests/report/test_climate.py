"""Climate and health on the report: in a browser, without JavaScript, and printed."""

import html
import json
import re
import shutil
import subprocess
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import psycopg2
import pytest

from dashboards.report.page import write_report
from functions.model.migrations import migrate

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")

CITY = "INSERT INTO dim_city VALUES (%s, %s, 'Rwanda', 0, 30, 'Africa/Kigali', 1, 1, true)"
DAY = """
    INSERT INTO mart_daily_city_weather (
        city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm,
        rain_7_days_mm, max_heat_index_c, dominant_condition, hours_observed, hours_expected, hours_forecast,
        hours_humidity, hours_archive, hours_heat_caution, hours_heat_extreme_caution, hours_heat_danger,
        hours_heat_extreme_danger, run_id
    ) VALUES (%s, %s, %s, 20.5, 15, 26, 70, 2, 14, 28.5, 'Overcast', 24, 24, 0, 24, 24, 3, 0, 0, 0, 'r')
"""
WEEK = """
    INSERT INTO mart_weekly_city_weather (city_id, city, period, iso_year, iso_week, start_date, end_date,
        avg_temperature_c, precipitation_mm, days_expected, days_complete, hours_forecast, is_complete, run_id)
    VALUES (%s, %s, to_char(%s::date, 'IYYY"W"IW'), 2026, extract(week FROM %s::date), %s, %s::date + 6, %s, 14, 7, 7,
        0, true, 'r')
"""
MONTH = """
    INSERT INTO mart_monthly_city_weather (city_id, city, period, year, month, start_date, end_date, avg_temperature_c,
        avg_humidity, precipitation_mm, is_rain_suitable, is_temperature_suitable, is_humidity_suitable,
        is_malaria_suitable, days_expected, days_complete, hours_forecast, is_complete, run_id)
    VALUES (%s, %s, '202602', 2026, 2, '2026-02-01', '2026-02-28', 21.3, 71, %s, %s, true, true, %s, 28, 28, 0, true,
        'r')
"""
NORMAL = """
    INSERT INTO climate_normal
    SELECT 'kigali', 'week', week, 1991, 2020, 30, 20, 0.5, 19, 20, 21, 10, 2, 8, 10, 12
    FROM generate_series(1, 53) AS week
"""
FORECAST = """
    INSERT INTO forecast_day (city_id, date, lead_days, avg_temperature_c, min_temperature_c, max_temperature_c,
        precipitation_mm, fetched_at, run_id)
    VALUES ('kigali', '2026-03-03', 2, 21.5, 15, 26, 2, now(), 'r')
"""
MONDAYS = [date(2026, 2, 2) + timedelta(weeks=n) for n in range(5)]


@pytest.fixture
def warehouse(database_url):
    migrate({"dsn": database_url})
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        yield connection.cursor()


@pytest.fixture
def report(database_url, tmp_path):
    """Returns a function that writes the report and returns its HTML."""
    return lambda: write_report(database_url, tmp_path / "report.html").read_text(encoding="utf-8")


def city(warehouse, city_id, name, temperature=21.5, rain=90):
    """Five weeks of a city, and the month of February."""
    warehouse.execute(CITY, (city_id, name))
    for day in range(35):
        warehouse.execute(DAY, (city_id, name, MONDAYS[0] + timedelta(days=day)))
    for monday in MONDAYS:
        warehouse.execute(WEEK, (city_id, name, monday, monday, monday, monday, temperature))
    warehouse.execute(MONTH, (city_id, name, rain, rain >= 80, rain >= 80))


@pytest.fixture
def two_cities(warehouse):
    """Kigali with normals and a forecast that was compared, Huye without."""
    city(warehouse, "kigali", "Kigali")
    city(warehouse, "huye", "Huye", temperature=17.5, rain=20)
    warehouse.execute(NORMAL)
    warehouse.execute(FORECAST)
    return warehouse


def browser(folder: Path, page: Path, *options: str) -> str:
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", "--window-size=1200,2000", "--virtual-time-budget=8000",
            *options, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


def after(folder: Path, text: str, *scripts: str) -> list[str]:
    """Return the body of the page, without scripts, as a browser has it after each of ``scripts``."""
    page = folder / "changed.html"
    steps = "".join(f"{{ {script} }} states.push(document.body.outerHTML);" for script in scripts)
    collect = f"""<script>onload = () => {{
        document.querySelectorAll("script").forEach((script) => script.remove());
        const states = [];
        {steps}
        document.body.textContent = JSON.stringify(states);
    }};</script></body>"""
    page.write_text(text.replace("</body>", collect), "utf-8")
    body = re.search(r"<body>(.*?)</body>", browser(folder, page, "--dump-dom"), re.DOTALL)[1]
    return list(json.loads(html.unescape(body)))


def section(page: str, name: str) -> str:
    return re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)[0]


def visible_text(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def chosen(city: int, period: str) -> str:
    """A script that chooses as a reader does."""
    return "".join(
        f'document.getElementById("{name}").value = "{value}"; {name}.dispatchEvent(new Event("change"));'
        for name, value in (("city", city), ("period", period))
    )


@needs_chromium
def test_a_city_and_a_period_are_chosen_in_the_page(two_cities, report, tmp_path):
    page, weeks, months = after(tmp_path, report(), "", chosen(1, "week-13"), chosen(1, "month-12"))
    assert [visible_text(option) for option in re.findall(r"<option.*?</option>", page)][:2] == ["Huye", "Kigali"]
    normals = visible_text(section(page, "normals"))
    assert "Huye, 52 weeks" in normals
    assert "Not compared with normal: no normal (5 weeks)." in normals
    normals = visible_text(section(weeks, "normals"))
    assert "Kigali, 13 weeks" in normals
    assert "Kigali: mean temperature" in normals
    assert "normal of 1991 to 2020" in normals
    assert "Not compared" not in normals
    # only the rows of the city that is chosen
    shown = re.findall(r"<tbody data-city=\"(\d)\"( hidden=\"\")?", section(weeks, "suitability"))
    assert shown == [("0", ' hidden=""'), ("1", "")]
    assert "Not compared with normal: no normal (1 month)." in visible_text(section(months, "normals"))


@needs_chromium
def test_every_chart_is_drawn_or_says_why_not(two_cities, report, tmp_path):
    page, other = after(tmp_path, report(), chosen(1, "week-52"), chosen(0, "month-12"))
    for name, charts in (("normals", 2), ("anomalies", 2), ("rolling_rain", 1), ("heat", 2), ("skill", 1)):
        assert len(re.findall(r'class="plot-container', section(page, name))) == charts, name
    assert "No sum of 30 or 90 days" in visible_text(section(page, "rolling_rain"))
    anomalies = visible_text(section(other, "anomalies"))
    assert "No month of a city can be compared with its normal temperature: no normal (2 months)." in anomalies
    assert "plot-container" not in section(other, "anomalies")
    assert "No forecast for this city could be compared yet." in visible_text(section(other, "skill"))


def test_the_tables_have_every_city_without_javascript(two_cities, report):
    page = re.sub(r"<script.*?</script>", "", report(), flags=re.DOTALL)
    rows = [visible_text(row) for row in re.findall(r"<tr>.*?</tr>", section(page, "anomalies"))]
    assert rows[1:] == [
        "Huye 2026W10 17.5 14.0 no normal",
        "Kigali 2026W10 21.5 20.0 1.5 0 14.0 10.0 140 0 1991 to 2020",
    ]
    suitability = visible_text(section(page, "suitability"))
    assert "Huye 2026-02 20.0 no 21.3 yes 71 yes no 28/28" in suitability
    assert "Kigali 2026-02 90.0 yes 21.3 yes 71 yes yes 28/28" in suitability
    assert "Kigali 2 1 1.0 1.0 0.0 0.0 0.0 0.0 100" in visible_text(section(page, "skill"))
    assert "<noscript>" in page
    assert 'id="choice" hidden' in page


def test_the_page_says_how_many_cities_it_has(two_cities, report, monkeypatch):
    assert "of the first" not in report()
    monkeypatch.setattr("dashboards.report.climate._CITIES", 1)
    text = report()
    assert "of the first 1 of 2 cities" in visible_text(section(text, "climate"))
    assert re.findall(r"<option value=\"\d+\">(.*?)</option>", text) == ["Huye"]
    assert '"cities":["Huye"]' in text


def test_a_name_cannot_end_the_data_of_the_charts(warehouse, report):
    evil = "</script><script>alert(1)</script><!--"
    city(warehouse, "evil", evil)
    text = report()
    data = re.search(r'<script type="application/json" id="climate_data">(.*?)</script>', text, re.DOTALL)[1]
    assert not set("<>&") & set(data)
    assert data.endswith("}")
    assert evil not in text
    assert "<script>alert" not in text


@needs_chromium
def test_a_browser_shows_markup_in_a_name_as_text_in_the_charts_of_a_city(warehouse, report, tmp_path):
    city(warehouse, "bold", "<b>Bold</b><img src=x onerror='document.body.id=1'>")
    (page,) = after(tmp_path, report(), "")
    assert "Bold" in section(page, "normals")
    assert "font-weight:bold" not in page
    assert "<img" not in page
    assert "<body>" in page


@needs_chromium
def test_it_prints_on_a4_without_controls_and_without_a_cut_chart(warehouse, report, tmp_path):
    """Sixty cities: their grids are taller on the screen than a sheet."""
    for number in range(60):
        city(warehouse, f"c{number:02}", f"City {number:02}")
    text = report()
    browser(tmp_path, tmp_path / "report.html", "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    sheets = re.findall(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", (tmp_path / "page.pdf").read_bytes())
    # in points of a 72nd of an inch: 210 by 297 mm
    assert {(round(float(width)), round(float(height))) for width, height in sheets} == {(595, 842)}
    assert 5 <= len(sheets) <= 20
    measure = """
        const charts = [...document.querySelectorAll(".js-plotly-plot")];
        const sizes = (side) => Math.max(...charts.map((chart) => chart[side]));
        const size = () => `${sizes("offsetWidth")} ${sizes("offsetHeight")}`;
        dispatchEvent(new Event("beforeprint"));
        const printed = size();
        dispatchEvent(new Event("afterprint"));
        document.body.textContent = `${printed} ${size()}`;
    """
    (sizes,) = after(tmp_path, text, measure)
    width, height, width_after, height_after = map(int, visible_text(sizes).split())
    # 186 mm and 273 mm between the margins, in pixels of a 96th of an inch
    assert width <= 186 / 25.4 * 96
    assert height <= 273 / 25.4 * 96
    assert width_after > 1000
    assert height_after > 1100
    printed = text.split("@media print {")[1].split("</style>")[0]
    assert "nav, .choice, details:not([open]) { display: none; }" in printed
