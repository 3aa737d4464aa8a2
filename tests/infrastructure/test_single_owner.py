"""A rule that is written in two places is the same in both: SQL, core, stand-in, command line and dashboards."""

import ast
import inspect
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sql_text import (
    KEYS,
    LOAD,
    SCHEMA,
    STATEMENTS,
    TABLES,
    VIEWS,
    column_of,
    comparisons,
    created,
    lists,
    plain,
    split,
    type_of,
    writes,
)

from command_line import tables as command_line_tables
from dashboards.questions import load_question, question_names
from dashboards.report import page
from dashboards.report.colours import CONDITION_COLOURS
from emulator import weather as emulator_weather
from functions.core import cities
from functions.core.contracts import PROCESSED_COLUMNS
from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.model import database
from open_meteo_stand_in import contract
from open_meteo_stand_in import weather as stand_in

MEASURES = [variable.column for variable in VARIABLES.values()]
# A list that names so many columns is meant to name all of them.
SEVERAL = 3
LOADER, READER = "ikirere_loader", "metabase_reader"
READ_AND_WRITE = {"select", "insert", "update", "delete"}

# ------------------------------------------------------------------ the columns


def test_a_processed_object_has_the_column_of_each_variable_in_order():
    assert [column for column in PROCESSED_COLUMNS if column in MEASURES] == MEASURES


def copied():
    """Return the temporary tables of a load that are written column by column: COPY fills them."""
    return {name: columns for name, columns in created(STATEMENTS)[0].items() if columns}


def test_a_load_copies_the_columns_that_transform_writes():
    tables = [columns for columns in copied().values() if set(MEASURES) & columns.keys()]
    assert tables
    for columns in tables:
        assert [name for name, definition in columns.items() if "generated" not in definition] == list(
            PROCESSED_COLUMNS
        )
        for name in columns.keys() & TABLES["staging_weather"].keys():
            assert type_of(columns[name]) == type_of(TABLES["staging_weather"][name]), name


def test_staging_has_the_columns_that_a_load_copies():
    of_cities = set(cities.COLUMNS) - {"city_id"}
    assert set(PROCESSED_COLUMNS) - of_cities <= TABLES["staging_weather"].keys()
    assert TABLES["staging_weather"].keys() <= {name for columns in copied().values() for name in columns}


def test_the_table_of_cities_has_the_columns_of_the_city_list_in_order():
    assert [column for column in TABLES["dim_city"] if column != "active"] == list(cities.COLUMNS)
    # the load passes the cities by position
    trees = [ast.parse(path.read_text("utf-8")) for path in database.SQL.parent.glob("*.py")]
    for row in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Tuple)):
        names = [each.attr for each in row.elts if isinstance(each, ast.Attribute)]
        if len(set(names) & set(cities.COLUMNS)) >= SEVERAL:
            assert names == list(cities.COLUMNS)


@pytest.mark.parametrize("table", TABLES)
def test_a_load_writes_each_column_of_a_table(table):
    inserted, updated = writes(table)
    assert inserted, f"no load inserts into {table}"
    needed = {name for name, definition in TABLES[table].items() if "default" not in definition}
    for columns, _ in inserted:
        assert needed <= set(columns) <= TABLES[table].keys()
    for values in updated:
        # an UPDATE of some columns compares these
        if len(values) >= SEVERAL and passed_on(values) not in compared_alone(table):
            assert values.keys() | KEYS[table] == TABLES[table].keys()


def passed_on(values):
    """Return the columns that an UPDATE takes from other rows by their names."""
    return {column for column, value in values.items() if value.endswith(f".{column}")}


def compared_alone(table):
    """Return the columns of each row that an UPDATE of a table compares in its own condition."""
    updates = [statement for statement in STATEMENTS if statement.startswith(f"update {table} ")]
    return [set(row) for statement in updates for row, _ in comparisons(statement)]


@pytest.mark.parametrize("table", TABLES)
def test_a_load_writes_a_value_to_the_column_of_its_name(table):
    inserted, updated = writes(table)
    listed = [(columns, values) for columns, values in inserted if "*" not in values]
    pairs = [pair for columns, values in listed for pair in zip(columns, values, strict=True)]
    pairs += [pair for values in updated for pair in values.items()]
    wrong = [(column, value) for column, value in pairs if (name := column_of(value)) and name != column]
    assert not [pair for pair in wrong if column_of(pair[1]) in TABLES[table]]


@pytest.mark.parametrize("file", LOAD)
def test_rows_are_compared_column_by_column(file):
    for statement in LOAD[file]:
        for left, right in comparisons(statement):
            assert left == right


@pytest.mark.parametrize(
    "table", [name for name in TABLES if name.startswith(("mart_", "climate_", "weather_", "alert_"))]
)
def test_a_row_of_a_mart_is_written_when_any_of_its_columns_differs(table):
    for values in writes(table)[1]:
        written = passed_on(values)
        # an UPDATE that passes no column on is not of a whole row
        if not written or written in compared_alone(table):
            continue
        for row in (set(row) for statement in STATEMENTS for row, _ in comparisons(statement)):
            # a comparison of at least half of them is meant to be of all
            if row <= TABLES[table].keys() - KEYS[table] and 2 * len(row) >= len(written):
                assert row == written


@pytest.mark.parametrize("file", LOAD)
def test_a_list_of_measures_names_each_variable(file):
    for statement in LOAD[file]:
        for before, items in lists(statement):
            named = {column for column in MEASURES for item in items if re.fullmatch(rf"(?:\w+\.)?{column}", item)}
            # a function may be about the values other than the temperature, which comes first
            missing = set(MEASURES[1:] if before == "coalesce" else MEASURES) - named
            assert len(named) < SEVERAL or not missing, f"{before}({', '.join(items)}) lacks {missing}"


# ------------------------------------------------------------------ the bits of the column ``filled``

BIT = {column: 1 << place for place, column in enumerate(MEASURES)}


def bits(statement):
    """Yield each bit with the only measure that its term is about.

    A term is an item of a list, of a sum or of a bitwise or. Its bit is a power of two beside ``&`` or ``*``, the
    shift after ``<<``, or what follows THEN in a sum; a condition that is only cast to a number has the bit 1.
    """
    numbered = "|".join((r"(?:&|\*) (\d+)\b", r"\b(\d+) (?:&|\*)", r"<< (\d+)\b"))
    items = [item for body in (statement, *(", ".join(items) for _, items in lists(statement))) for item in split(body)]
    for item in items:
        terms = split(item, "+|")
        for term in terms:
            measures = {column for column in MEASURES if re.search(rf"\b{column}\b", re.sub(r" as \w+$", "", term))}
            if len(measures) != 1:
                continue
            found = [1 << int(n[2]) if n[2] else int(n[0] or n[1]) for n in re.findall(numbered, term)]
            if len(terms) > 1:
                found += [int(number) for number in re.findall(r"\bthen (\d+)\b", term)]
                found += [] if found or not re.search(r"::(?:int|integer|smallint)\b", term) else [1]
            yield from ((bit, *measures) for bit in found if bit and bit & (bit - 1) == 0)


@pytest.mark.parametrize(
    "text",
    [
        "(humidity is not null)::int + 2 * (temperature_c is not null)::int",
        "(temperature_c is not null)::int << 1 | (humidity is not null)::int",
        "case when temperature_c is not null then 2 else 0 end | case when humidity is not null then 1 else 0 end",
        "select case when 2 & filled <> 0 then new.temperature_c else old.temperature_c end as temperature_c, "
        "case when filled & 1 = 1 then new.humidity else old.humidity end as humidity",
        "create table x (y smallint generated always as "
        "((humidity is not null)::int + 2 * (temperature_c is not null)::int))",
    ],
)
def test_bits_are_found_in_whatever_form_the_sql_has(text):
    assert set(bits(text)) == {(1, "humidity"), (2, "temperature_c")}


def test_the_bit_of_a_variable_is_its_place_in_the_order_of_variables():
    for file, statements in LOAD.items():
        for statement in statements:
            found = set(bits(statement))
            if found:
                assert {(bit, column) for column, bit in BIT.items()} == found, file
    # where bits stand no longer, this file has nothing to hold
    assert any(set(bits(statement)) for statement in STATEMENTS)


def test_the_bits_that_warehouses_store_keep_their_meaning():
    text = (database.SQL / "schema" / "001_warehouse.sql").read_text("utf-8")
    (record,) = re.findall(r"-- the sum of (.*) that have a value\n", text)
    for bit, word in re.findall(r"(\d+) (\w+)", record):
        (column,) = (column for column, its in BIT.items() if its == int(bit))
        assert word.lower() in column.split("_")


def test_the_bits_fit_the_type_of_their_column():
    widths = {"smallint": 15, "integer": 31, "bigint": 63}
    assert len(MEASURES) <= widths[type_of(TABLES["staging_coverage"]["filled"])]


# ------------------------------------------------------------------ the rights


def granted(role):
    """Return the privileges of a role on each table."""
    found = {}
    for statement in SCHEMA:
        for privileges, names, roles in re.findall(
            r"\bgrant ([\w, ]+) on (?!schema )([\w, ]+) to ([\w, ]+)", statement
        ):
            for name in split(names.removeprefix("table ")) if role in split(roles) else ():
                found.setdefault(name, set()).update(split(privileges))
    return found


def read_by(text):
    """Return the words that a text names as tables or views."""
    return set(re.findall(r"\b(?:from|join) (\w+)", text))


def test_the_loader_may_read_and_write_each_table_and_read_the_views_of_a_load():
    # a function of the schema reads with the rights of its caller
    functions = [each for each in SCHEMA if re.match(r"create (?:or replace )?function ", each)]
    views = VIEWS & read_by(" ".join([*functions, *STATEMENTS]))
    readable = {name: {"select"} for name in ("schema_migration", *views)}
    assert granted(LOADER) == readable | dict.fromkeys(TABLES, READ_AND_WRITE)


def test_the_reader_may_read_the_marts_the_climate_the_alerts_and_what_questions_read():
    named = read_by(" ".join(plain(load_question(name).sql) for name in question_names())) & (TABLES.keys() | VIEWS)
    of_readers = ("mart_", "climate_", "dim_", "weather_alert", "alert_rule")
    readable = named | {name for name in (*TABLES, *VIEWS) if name.startswith(of_readers)}
    assert granted(READER) == {table: {"select"} for table in readable}


# ------------------------------------------------------------------ the variables


@pytest.mark.parametrize("name", VARIABLES)
def test_the_stand_in_has_a_variable_in_its_unit_on_its_hosts(name):
    assert contract._UNITS[name] == VARIABLES[name].unit
    assert (name in contract._FORECAST_ONLY) == (VARIABLES[name].sources == ("forecast",))
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    (value,) = stand_in.SOURCES["synthetic"].hourly(name, (-1.95, 30.06), [noon], archive=False)
    assert value is not None
    assert VARIABLES[name].low <= value <= VARIABLES[name].high


SUFFIX = {"°C": "_c", "mm": "_mm", "km/h": "_kmh"}
# Units that stand for a measure wherever they are written; a percentage can be one of hours.
UNITS = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, SUFFIX)) + r")(?!\w)")


@pytest.mark.parametrize("variable", VARIABLES.values(), ids=lambda variable: variable.name)
def test_a_column_ends_with_its_unit(variable):
    assert variable.unit in ("", "%", "wmo code") or variable.column.endswith(SUFFIX[variable.unit])


def units_of(text):
    """Return the units of the measures that a text names, of aggregates of them, and of columns that end with one."""
    measured = {v.unit for v in VARIABLES.values() if v.unit and re.search(rf"(?:\b|_){v.column}\b", text)}
    return measured | {unit for unit, end in SUFFIX.items() if re.search(rf"\w{end}\b", text)}


@pytest.mark.parametrize("name", question_names())
def test_a_question_names_the_unit_of_its_measure(name):
    question = load_question(name)
    units = units_of(question.sql)
    assert set(UNITS.findall(question.description)) <= units
    if len(units) == 1:
        assert units <= set(UNITS.findall(question.description)) | {"%", "wmo code"}


def test_a_chart_of_the_report_is_in_the_unit_of_its_measure():
    for function in (node for node in ast.parse(inspect.getsource(page)).body if isinstance(node, ast.FunctionDef)):
        texts = [node.value for node in ast.walk(function) if isinstance(node, ast.Constant)]
        texts = [text for text in texts if isinstance(text, str)]
        named = {unit for text in texts for unit in UNITS.findall(text)}
        assert not named or named == units_of("\n".join(texts)) & SUFFIX.keys(), function.name


def test_a_column_of_the_reports_tables_has_a_heading_with_its_unit():
    template = Path(inspect.getfile(page)).with_name("page.html.j2").read_text("utf-8")
    for table in re.findall(r"<table>(.*?)</table>", template, re.DOTALL):
        # without the rows that name the city of those below
        headings = re.findall(r"<th(?! colspan)(?: [^>]*)?>(.*?)</th>", table)
        for heading, cell in zip(headings, re.findall(r"<td[^>]*>(.*?)</td>", table), strict=True):
            assert set(UNITS.findall(heading)) == units_of(cell) & SUFFIX.keys(), heading


@pytest.mark.parametrize("headings", [command_line_tables.MART_HEADS, command_line_tables.SUMMARY_HEADS])
def test_a_column_of_the_command_lines_tables_has_a_heading_with_its_unit(headings):
    for column, heading in headings.items():
        assert all(unit in heading for unit in units_of(column)), heading
        assert set(UNITS.findall(heading)) <= units_of(column), heading


# ------------------------------------------------------------------ the weather sources


@pytest.mark.parametrize("kind", stand_in.SOURCES)
def test_the_emulator_offers_each_weather_of_the_stand_in(monkeypatch, kind):
    monkeypatch.setattr(emulator_weather, "_stand_in", lambda _state, served: f"http://{served}")
    assert emulator_weather.check(kind) == kind
    assert kind in emulator_weather.CHOICES.split(", ")
    chosen = emulator_weather.resolve(None, kind)
    assert (chosen.kind, chosen.forecast_url) == (kind, f"http://{kind}/v1/forecast")
    assert kind in chosen.notice


# ------------------------------------------------------------------ the conditions


def test_a_colour_stands_for_each_condition_in_the_order_of_their_codes():
    assert list(CONDITIONS) == sorted(CONDITIONS)
    assert list(CONDITION_COLOURS) == list(CONDITIONS.values())


def test_the_stand_in_emits_known_weather_codes_only():
    codes = {code for codes in (stand_in._DRY_CODES, stand_in._WET_CODES, stand_in._SNOW_CODES) for _, code in codes}
    assert codes <= CONDITIONS.keys()
