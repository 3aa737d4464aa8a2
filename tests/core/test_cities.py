"""The city list: what is accepted, and that a wrong one is rejected with line and reason."""

import pytest

from functions.core.cities import COLUMNS, load_cities, parse_cities
from functions.core.errors import InvalidInputError

HEADER = ",".join(COLUMNS)
KIGALI = "kigali,Kigali,Rwanda,-1.95,30.0588,Africa/Kigali,1300000,730"


def parse(*lines: str):
    return parse_cities("".join(f"{line}\n" for line in lines), "list.csv")


def test_the_shipped_city_list_starts_with_the_three_rwandan_cities():
    assert list(load_cities())[:3] == ["kigali", "musanze", "huye"]


def test_a_line_becomes_a_typed_city():
    city = parse(HEADER, KIGALI)["kigali"]
    assert (city.latitude, city.longitude, city.population, city.area_km2) == (-1.95, 30.0588, 1300000, 730.0)


def test_population_and_area_may_be_empty():
    city = parse(HEADER, "a,Å Ville,Côte d'Ivoire,0,0,Africa/Abidjan,,")["a"]
    assert (city.population, city.area_km2, city.city) == (None, None, "Å Ville")


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT-3", "America/Argentina/Ushuaia"])
def test_a_time_zone_is_utc_or_an_area_with_a_place(zone):
    assert parse(HEADER, KIGALI.replace("Africa/Kigali", zone))["kigali"].timezone == zone


def test_a_name_may_contain_the_joining_characters_of_its_script():
    assert parse(HEADER, KIGALI.replace("Kigali,R", "\u0646\u200c\u0627,R"))["kigali"].city == "\u0646\u200c\u0627"


def test_further_columns_and_a_byte_order_mark_are_accepted(tmp_path):
    path = tmp_path / "cities.csv"
    path.write_text(f"\ufeff{HEADER},note\n{KIGALI},capital\n", encoding="utf-8")
    assert list(load_cities(path)) == ["kigali"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "is empty"),
        ([HEADER], "line 2: there is no city"),
        ([HEADER.replace(",timezone", ""), KIGALI], "line 1: missing column timezone"),
        ([HEADER, KIGALI, KIGALI], r"line 3: duplicate city_id 'kigali' \(first on line 2\)"),
        ([HEADER, KIGALI.replace("-1.95", "91")], "line 2: latitude 91 is outside -90 to 90"),
        ([HEADER, KIGALI.replace("30.0588", "-180.5")], "line 2: longitude -180.5 is outside"),
        ([HEADER, KIGALI.replace("-1.95", "north")], "line 2: latitude 'north' is not a number"),
        ([HEADER, KIGALI.replace("-1.95", "nan")], "line 2: latitude nan is outside"),
        ([HEADER, KIGALI.replace("-1.95", "")], "line 2: latitude '' is not a number"),
        ([HEADER, KIGALI.replace("1300000", "-1")], "line 2: population -1 is outside"),
        ([HEADER, KIGALI.replace("1300000", "many")], "line 2: population 'many' is not a number"),
        ([HEADER, KIGALI.replace("Africa/Kigali", "Africa/Kigaly")], "line 2: unknown timezone 'Africa/Kigaly'"),
        ([HEADER, KIGALI.replace("Kigali,Rwanda", "=cmd(),Rwanda")], "line 2: city '=cmd.*formula"),
        ([HEADER, KIGALI.replace("Kigali,Rwanda", "Ki\x07gali,Rwanda")], "line 2: city .*control character"),
        ([HEADER, KIGALI.replace("Kigali,Rwanda", " ,Rwanda")], "line 2: city is empty"),
        ([HEADER, KIGALI.replace("Kigali,Rwanda", "Ki\u2028gali,Rwanda")], "line 2: city .*control character"),
        ([HEADER, KIGALI.replace("Africa/Kigali", "CET")], "line 2: unknown timezone 'CET'"),
        ([HEADER, KIGALI.replace("Africa/Kigali", "localtime")], "line 2: unknown timezone 'localtime'"),
        ([HEADER, KIGALI.replace("1300000", "1_300_000")], "line 2: population '1_300_000' is not a number"),
        ([HEADER, KIGALI.replace("-1.95", "\u0661")], "line 2: latitude .* is not a number"),
        ([f"{HEADER},latitude", f"{KIGALI},1"], "line 1: repeated column latitude"),
        ([HEADER, KIGALI.replace("kigali,", "ki gali,")], "line 2: city_id 'ki gali' must be"),
        ([HEADER, KIGALI.removesuffix(",730")], "line 2: fewer fields"),
        ([HEADER, f"{KIGALI},x"], "line 2: more fields"),
        ([HEADER, KIGALI.replace("Rwanda", '"Rwanda')], "line 2: not valid CSV"),
    ],
)
def test_a_wrong_city_list_is_rejected_with_line_and_reason(lines, reason):
    with pytest.raises(InvalidInputError, match=f"city list list.csv: .*{reason}"):
        parse(*lines)


# What hides the "=" of a formula: joiners, spaces, marks, fillers, and letters of another width.
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\ufe66"])
@pytest.mark.parametrize(
    "hidden", ["\u200d", "\u200c", "\u00a0\u2003", "\u0301", "\ufe0f", "\u3164", "\u2800", "\ue000"]
)
def test_a_name_with_a_hidden_formula_start_is_rejected_as_one_with_a_visible_start(start, hidden):
    with pytest.raises(InvalidInputError, match=r"line 2: city .* starts like a spreadsheet formula"):
        parse(HEADER, KIGALI.replace("Kigali,R", f"{hidden}{start}1+1,R"))
    with pytest.raises(InvalidInputError, match=r"line 2: country .* starts like a spreadsheet formula"):
        parse(HEADER, KIGALI.replace("Rwanda", f"{hidden}{start}1+1"))


@pytest.mark.parametrize("name", ["'s-Hertogenbosch", "\u2018Ewa Beach", "(Old) Town", "Nur-Sultan", "\u200cA"])
def test_a_name_may_begin_with_a_quotation_mark_or_have_a_hyphen(name):
    assert parse(HEADER, KIGALI.replace("Kigali,R", f"{name},R"))["kigali"].city == name


@pytest.mark.parametrize("name", ["\u200d", "\u3164 \u2800"])
def test_a_name_without_a_visible_character_is_rejected(name):
    with pytest.raises(InvalidInputError, match=r"line 2: city .* has no visible character"):
        parse(HEADER, KIGALI.replace("Kigali,R", f"{name},R"))


@pytest.mark.parametrize("field", ["kigali", "Kigali", "Rwanda", "-1.95", "30.0588", "Africa/Kigali", "1300000", "730"])
@pytest.mark.parametrize("value", ["9" * 5000, "\u202e" * 5000, "x" * 100_000])
def test_a_wrong_field_is_repeated_in_part_and_escaped(field, value):
    with pytest.raises(InvalidInputError) as raised:
        parse(
            HEADER, KIGALI.replace(f"{field},", f"{value},") if field != "730" else KIGALI.replace(",730", f",{value}")
        )
    assert "line 2: " in str(raised.value)
    assert len(str(raised.value)) < 400
    assert str(raised.value).isprintable()


def test_the_first_ten_wrong_lines_are_named_and_the_others_counted():
    wrong = [KIGALI.replace("kigali", f"c{n}").replace("-1.95", "91") for n in range(12)]
    with pytest.raises(InvalidInputError, match=r"line 2: .*line 11: .*and 2 more"):
        parse(HEADER, *wrong)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_city_list_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "cities.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=str(path)):
        load_cities(path)
