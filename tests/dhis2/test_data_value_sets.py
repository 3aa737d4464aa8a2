"""Values of the marts as a data value set, in a file or sent to a server that behaves as DHIS2's documentation says."""

import json
from contextlib import closing
from datetime import date
from decimal import Decimal

import psycopg2
import pytest
from dhis2.contract_server import TOKEN, Element
from dhis2.marts import ELEMENTS, MALARIA, ORG_UNITS, change, mapping_text, store_month, store_week

from deployment.errors import UserError
from functions.core.dictionary import tables
from operations.dhis2 import exporting, values
from operations.dhis2.exporting import post, write, write_template
from operations.dhis2.mapping import read
from operations.dhis2.server import Dhis2
from operations.dhis2.values import Selection

WEEK = {"avg_temperature_c": Decimal("21.41666666666666667"), "precipitation_mm": Decimal("0.0"), "hot_days": 3,
        "wettest_date": date(2026, 11, 18)}  # fmt: skip


@pytest.fixture
def weekly(mapping_file):
    return read(mapping_file(mapping_text()), "weekly")


def exported(warehouse, mapping, **selection):
    """The document that is written."""
    pieces = []
    count = write(warehouse, mapping, Selection(**selection), pieces.append)
    document = json.loads("".join(pieces))
    assert count == len(document["dataValues"])
    return document


def periods(document):
    return list(dict.fromkeys(each["period"] for each in document["dataValues"]))


def sent(warehouse, server, mapping, *, last=None, **options):
    return post(warehouse, mapping, Selection(last=last), Dhis2(server.url, TOKEN), **options)


def names(summary):
    return [(list(c.cities), list(c.measures), list(c.periods)) for c in summary.conflicts.values()]


def test_each_value_of_a_complete_week_is_written_in_dhis2s_form(warehouse, weekly):
    store_week(warehouse.url, 2026, 47, **WEEK)
    assert exported(warehouse, weekly) == {
        "dataValues": [
            {"dataElement": ELEMENTS[measure], "period": "2026W47", "orgUnit": ORG_UNITS["kigali"], "value": value}
            for measure, value in {
                "avg_temperature_c": "21.42",
                "precipitation_mm": "0",
                "hot_days": "3",
                "wettest_date": "2026-11-18",
                "is_complete": "true",
            }.items()
        ]
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [(Decimal("100"), "100"), (Decimal("1E+2"), "100"), (Decimal("-0.00"), "0"), (Decimal("-0.004"), "0"),
     (Decimal("21.50"), "21.5"), (Decimal("-3.125"), "-3.12"), (Decimal("0.015"), "0.02"), (0, "0"), (False, "false")],
)  # fmt: skip
def test_a_value_has_one_text(value, text):
    assert values.text(value) == text


def test_a_null_is_no_value(warehouse, weekly):
    store_week(warehouse.url, 2026, 47)
    assert [each["dataElement"] for each in exported(warehouse, weekly)["dataValues"]] == [ELEMENTS["is_complete"]]


def test_the_category_and_the_data_set_are_written(warehouse, mapping_file):
    combos = 'category_option_combo = "ComboCateg1", attribute_option_combo = "ComboAttri1"'
    element = f'hot_days = {{data_element = "ElemHotDays", {combos}}}'
    text = mapping_text(weekly='data_set = "DataSetWeek"', **{"weekly.data_elements": element})
    store_week(warehouse.url, 2026, 47, hot_days=3)
    document = exported(warehouse, read(mapping_file(text), "weekly"))
    assert document["dataSet"] == "DataSetWeek"
    assert document["dataValues"][0].items() >= {
        "categoryOptionCombo": "ComboCateg1", "attributeOptionCombo": "ComboAttri1"
    }.items()  # fmt: skip


def test_weeks_at_the_end_of_a_year_are_named_as_dhis2_names_them(warehouse, weekly, server):
    for year, week in ((2020, 53), (2026, 53), (2027, 1)):
        store_week(warehouse.url, year, week, hot_days=1)
    assert periods(exported(warehouse, weekly)) == ["2020W53", "2026W53", "2027W01"]
    assert sent(warehouse, server, weekly).is_accepted
    assert {key[1] for key in server.stored} == {"2020W53", "2026W53", "2027W01"}


def test_months_have_their_own_measures(warehouse, mapping_file, server):
    store_month(warehouse.url, 2026, 12, is_malaria_suitable=True)
    store_month(warehouse.url, 2027, 1, is_malaria_suitable=False)
    monthly = read(mapping_file(mapping_text()), "monthly")
    found = [(each["period"], each["value"]) for each in exported(warehouse, monthly)["dataValues"]]
    assert found == [("202612", "true"), ("202701", "false")]
    assert sent(warehouse, server, monthly).is_accepted
    assert {key[:2] for key in server.stored} == {(MALARIA, "202612"), (MALARIA, "202701")}


def test_only_complete_periods_are_exported_unless_others_are_asked_for(warehouse, weekly):
    store_week(warehouse.url, 2026, 46, hot_days=1)
    store_week(warehouse.url, 2026, 47, hot_days=2, is_complete=False, hours_forecast=24)
    assert periods(exported(warehouse, weekly)) == ["2026W46"]
    assert periods(exported(warehouse, weekly, with_incomplete=True)) == ["2026W46", "2026W47"]


def test_days_and_a_number_of_periods_select(warehouse, weekly):
    for week in range(40, 50):
        store_week(warehouse.url, 2026, week, hot_days=1)
    store_week(warehouse.url, 2026, 48, city="musanze", hot_days=1)
    store_week(warehouse.url, 2026, 49, city="huye", hot_days=1)
    assert periods(exported(warehouse, weekly, last=2)) == ["2026W48", "2026W49"]
    assert len(exported(warehouse, weekly, last=2)["dataValues"]) == 6
    monday = date.fromisocalendar(2026, 42, 1)
    assert periods(exported(warehouse, weekly, start=monday, end=date.fromisocalendar(2026, 44, 1))) == [
        "2026W42", "2026W43", "2026W44",
    ]  # fmt: skip
    assert periods(exported(warehouse, weekly, end=monday, last=1)) == ["2026W42"]


def test_anomalies_are_read_from_their_view(warehouse, mapping_file):
    for number, year in enumerate(range(2016, 2026)):
        store_week(warehouse.url, year, 47, avg_temperature_c=20 + number, precipitation_mm=10)
    store_week(warehouse.url, 2026, 47, avg_temperature_c=26, precipitation_mm=2)
    change(
        warehouse.url,
        "INSERT INTO climate_normal (city_id, period_type, period_number, base_start, base_end, years_used, "
        "temperature_mean_c, temperature_p10_c, temperature_p50_c, temperature_p90_c) "
        "VALUES ('kigali', 'week', 47, 2016, 2025, 10, 24.5, 20.9, 24.5, 28.1)",
    )
    elements = 'temperature_anomaly_c = "ElemAnomaly"\nprecipitation_mm = "ElemRainSum"\nhot_days = "ElemHotDays"'
    mapping = read(mapping_file(mapping_text(**{"weekly.data_elements": elements})), "weekly")
    found = exported(warehouse, mapping, last=1)["dataValues"]
    assert [(each["dataElement"], each["value"]) for each in found] == [("ElemAnomaly", "1.5"), ("ElemRainSum", "2")]


@pytest.mark.parametrize(
    "measure", ["city", "iso_week", "start_date", "updated_at", "run_id", "reason", "x; DROP TABLE y"]
)
def test_what_is_no_measure_is_not_exported(warehouse, mapping_file, measure):
    mapping = read(mapping_file(mapping_text(**{"weekly.data_elements": f'"{measure}" = "ElemAvgTemp"'})), "weekly")
    with pytest.raises(UserError, match="the weekly marts have no measure"):
        exported(warehouse, mapping)


def test_a_warehouse_without_the_marts_says_so(warehouse, weekly):
    change(warehouse.url, "DROP TABLE mart_weekly_city_weather CASCADE")
    with pytest.raises(UserError, match=r"has no mart_weekly_city_weather.*`ikirere up` migrates it"):
        exported(warehouse, weekly)


def test_the_template_describes_each_measure_with_its_unit(warehouse, tmp_path):
    change(warehouse.url, "COMMENT ON COLUMN mart_weekly_city_weather.dry_spell_days IS NULL")
    write_template(warehouse, tmp_path / "t.toml", is_forced=False)
    text = (tmp_path / "t.toml").read_text()
    assert 'kigali = ""  # Kigali, Rwanda\n' in text
    for table, measure in (
        ("mart_weekly_city_weather", "avg_temperature_c"),
        ("mart_weekly_city_weather", "dry_spell_days"),
        ("mart_monthly_city_anomaly", "precipitation_percent_of_normal"),
    ):
        assert f'\n{measure} = ""  # {tables()[table].columns[measure].comment}\n' in text
    assert "iso_week" not in text


def test_a_post_is_tried_first_and_then_made(warehouse, weekly, server):
    store_week(warehouse.url, 2026, 47, **WEEK)
    posted = sent(warehouse, server, weekly)
    assert posted.is_accepted
    assert (posted.dry_run.imported, posted.imported.imported) == (5, 5)
    assert [options["dryRun"] for _, options, _ in server.requests] == ["true", "false"]
    assert {options["importStrategy"] for _, options, _ in server.requests} == {"CREATE_AND_UPDATE"}
    assert server.requests[0][2] == server.requests[1][2] == exported(warehouse, weekly)
    assert server.writes == [5]


def test_a_second_post_changes_nothing_and_a_correction_changes_its_value_only(warehouse, weekly, server):
    store_week(warehouse.url, 2026, 46, **WEEK)
    store_week(warehouse.url, 2026, 47, **WEEK)
    sent(warehouse, server, weekly)
    before = dict(server.stored)
    again = sent(warehouse, server, weekly)
    assert again.is_accepted
    assert server.stored == before
    assert server.writes == [10, 0]
    assert again.imported.updated + again.imported.ignored == 10
    change(warehouse.url, "UPDATE mart_weekly_city_weather SET hot_days = 4 WHERE period = '2026W46'")
    sent(warehouse, server, weekly)
    assert server.writes == [10, 0, 1]
    assert dict(server.stored.items() - before.items()) == {
        key: "4" for key in before if key[:2] == (ELEMENTS["hot_days"], "2026W46")
    }


def test_a_dry_run_alone_imports_nothing(warehouse, weekly, server):
    store_week(warehouse.url, 2026, 47, **WEEK)
    posted = sent(warehouse, server, weekly, only_dry_run=True)
    assert (posted.dry_run.imported, posted.imported) == (5, None)
    assert not server.stored


def test_without_a_value_nothing_is_sent(warehouse, weekly, server):
    assert sent(warehouse, server, weekly).dry_run.values == 0
    assert not server.requests


def test_an_unknown_org_unit_is_named_by_its_city_and_nothing_is_imported(warehouse, weekly, server):
    server.org_units.remove(ORG_UNITS["musanze"])
    for city in ("kigali", "musanze"):
        store_week(warehouse.url, 2026, 47, city=city, **WEEK)
    posted = sent(warehouse, server, weekly)
    assert not posted.is_accepted
    assert posted.imported is None
    assert posted.dry_run.refused == 5
    assert names(posted.dry_run) == [(["musanze"], [], [])]
    assert not server.stored


def test_an_unknown_data_element_is_named_by_its_measure(warehouse, weekly, server):
    del server.elements[ELEMENTS["hot_days"]]
    store_week(warehouse.url, 2026, 47, **WEEK)
    posted = sent(warehouse, server, weekly)
    assert posted.dry_run.refused == 1
    assert names(posted.dry_run) == [([], ["hot_days"], [])]


def test_a_closed_period_is_named(warehouse, weekly, server):
    server.closed_periods.add("2026W46")
    for week in (46, 47):
        store_week(warehouse.url, 2026, week, **WEEK)
    posted = sent(warehouse, server, weekly)
    assert posted.dry_run.refused == 5
    assert names(posted.dry_run) == [([], [], ["2026W46"])]
    assert "is not open" in next(iter(posted.dry_run.conflicts)) or server.is_old


def test_a_period_of_another_type_or_of_the_future_is_refused_by_name(warehouse, weekly, server):
    server.today = date(2026, 11, 17)
    store_week(warehouse.url, 2026, 47, hot_days=1)
    found = names(sent(warehouse, server, weekly).dry_run)
    assert found
    assert all(each == ([], [], ["2026W47"]) for each in found)
    server.today = date(2027, 1, 1)
    server.elements[ELEMENTS["hot_days"]] = Element("INTEGER", "Monthly")
    assert sent(warehouse, server, weekly).dry_run.refused == 1


def test_a_value_of_another_type_is_named_completely(warehouse, weekly, server):
    server.elements[ELEMENTS["avg_temperature_c"]] = Element("INTEGER")
    store_week(warehouse.url, 2026, 47, **WEEK)
    posted = sent(warehouse, server, weekly)
    assert posted.dry_run.refused == 1
    expected = ([], ["avg_temperature_c"], []) if server.is_old else (["kigali"], ["avg_temperature_c"], ["2026W47"])
    assert names(posted.dry_run) == [expected]


def test_an_unknown_data_set_refuses_all(warehouse, mapping_file, server):
    mapping = read(mapping_file(mapping_text(weekly='data_set = "DataSetWeek"')), "weekly")
    store_week(warehouse.url, 2026, 47, **WEEK)
    posted = sent(warehouse, server, mapping)
    assert posted.dry_run.refused == 5
    assert "Data set not found or not accessible" in next(iter(posted.dry_run.conflicts))


def test_a_part_is_imported_only_if_that_is_accepted(warehouse, weekly, server):
    server.closed_periods.add("2026W46")
    for week in (46, 47):
        store_week(warehouse.url, 2026, week, **WEEK)
    posted = sent(warehouse, server, weekly, accepts_partial=True)
    assert not posted.is_accepted
    assert (posted.imported.imported, posted.imported.refused) == (5, 5)
    assert {key[1] for key in server.stored} == {"2026W47"}


def test_zeros_that_dhis2_does_not_store_are_counted(warehouse, weekly, server):
    server.elements[ELEMENTS["precipitation_mm"]] = Element(stores_zeros=False)
    store_week(warehouse.url, 2026, 47, **WEEK)
    posted = sent(warehouse, server, weekly)
    assert posted.is_accepted
    assert (posted.imported.imported, posted.imported.not_counted) == (4, 1)


def test_values_are_sent_in_batches_and_conflicts_are_of_all(warehouse, weekly, server, monkeypatch):
    monkeypatch.setattr(exporting, "BATCH_VALUES", 7)
    server.closed_periods.update({"2026W41", "2026W49"})
    for week in range(40, 50):
        store_week(warehouse.url, 2026, week, **WEEK)
    posted = sent(warehouse, server, weekly, accepts_partial=True)
    assert [len(document["dataValues"]) for _, _, document in server.requests] == [7] * 7 + [1] + [7] * 7 + [1]
    assert posted.imported.values == 50
    assert (posted.imported.imported, posted.imported.refused) == (40, 10)
    found = [period for _, _, each in names(posted.imported) for period in each]
    assert found == ["2026W41", "2026W49"]


def test_what_is_imported_is_what_was_tried_whatever_a_load_does_meanwhile(warehouse, weekly, server):
    store_week(warehouse.url, 2026, 47, **WEEK)

    class Load(exporting.PostObserver):
        def sent(self, values, *, is_dry_run):
            if is_dry_run:
                change(warehouse.url, "UPDATE mart_weekly_city_weather SET hot_days = 9")

    sent(warehouse, server, weekly, observer=Load())
    assert server.requests[0][2] == server.requests[1][2]


def test_a_fault_during_the_import_says_what_was_sent_before(warehouse, weekly, server, monkeypatch):
    monkeypatch.setattr(exporting, "BATCH_VALUES", 2)
    store_week(warehouse.url, 2026, 47, **WEEK)
    server.instead = [None, None, None, None, (503, b"<html>", {})]
    with pytest.raises(UserError, match=r"503; the server is busy.*; 2 values were sent before, a repeat does not"):
        sent(warehouse, server, weekly)
    assert sent(warehouse, server, weekly).is_accepted
    assert len(server.stored) == 5


def test_the_reader_may_export(warehouse, weekly):
    store_week(warehouse.url, 2026, 47, hot_days=1)
    with closing(psycopg2.connect(warehouse.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE metabase_reader")
        assert len(list(values.stream(connection, weekly, Selection()))) == 2
