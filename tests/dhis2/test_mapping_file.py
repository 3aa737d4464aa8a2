"""The mapping file: each wrong entry is named, and the template is one that only needs UIDs."""

import re
import tomllib

import pytest
from dhis2.marts import ELEMENTS, ORG_UNITS, mapping_text
from security.hostile import TEXTS

from deployment.errors import UserError
from functions.core.cities import City
from operations.dhis2.mapping import DataElement, read, template

UID = "ElemAvgTemp"


def test_a_mapping_has_the_org_units_and_the_data_elements_of_the_period_type(mapping_file):
    path = mapping_file(mapping_text(weekly='data_set = "DataSetWeek"'))
    found = read(path, "weekly")
    assert found.org_units == ORG_UNITS
    assert found.data_elements == {measure: DataElement(uid) for measure, uid in ELEMENTS.items()}
    assert found.data_set == "DataSetWeek"
    assert list(read(path, "monthly").data_elements) == ["is_malaria_suitable"]


def test_a_measure_can_have_a_category_and_what_is_empty_is_not_mapped(mapping_file):
    text = (
        f'hot_days = {{data_element = "{UID}", category_option_combo = "CategoryOp1", attribute_option_combo = ""}}\n'
        'rain_days = ""\nwet_spell_days = {data_element = ""}'
    )
    changes = {
        "org_units": 'kigali = "OrgKigali01"\nhuye = ""',
        "weekly.data_elements": text,
        "monthly.data_elements": "",
    }
    found = read(mapping_file(mapping_text(**changes)))
    assert found.period_type == "weekly"
    assert found.org_units == {"kigali": "OrgKigali01"}
    assert found.data_elements == {"hot_days": DataElement(UID, "CategoryOp1", None)}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"org_units": 'kigali = "1rgKigali01"'},
            "[org_units]: 'kigali': '1rgKigali01' is no UID of DHIS2 (11 letters",
        ),
        ({"org_units": 'kigali = "OrgKigali0"'}, "'OrgKigali0' is no UID"),
        ({"org_units": 'kigali = "OrgKigali0é"'}, "is no UID"),
        ({"org_units": "kigali = 12345678901"}, "[org_units]: 'kigali': 12345678901 is no UID"),
        ({"org_units": 'kigali = "OrgKigali01"\nhuye = "OrgKigali01"'}, "'kigali' and 'huye' have the same org unit"),
        ({"org_units": 'kigali = "OrgKigali01"\nkigali = "OrgKigali02"'}, "is not TOML: Cannot overwrite a value"),
        ({"org_units": ""}, "maps no city"),
        ({"weekly": 'data_set = "x"'}, "[weekly]: data_set: 'x' is no UID"),
        ({"weekly": 'dataset = "x"'}, "[weekly]: unknown key 'dataset'"),
        ({"weekly.data_elements": 'hot_days = "x"'}, "[weekly.data_elements]: 'hot_days': data_element: 'x' is no UID"),
        ({"weekly.data_elements": f'hot_days = "{UID}"\nrain_days = "{UID}"'}, "have the same data element"),
        ({"weekly.data_elements": f'hot_days = {{element = "{UID}"}}'}, "'hot_days': unknown key 'element'"),
        ({"weekly.data_elements": "hot_days = 0"}, "'hot_days': data_element: 0 is no UID"),
        ({"weekly.data_elements": "hot_days = []"}, "'hot_days': data_element: [] is no UID"),
        ({"weekly": "data_set = false"}, "[weekly]: data_set: False is no UID"),
        ({"weekly.data_elements": ""}, "maps no weekly measure"),
        ({"daily": ""}, "unknown key 'daily'"),
        ({"org_units": None}, "maps no city"),
    ],
)
def test_a_wrong_entry_is_named(mapping_file, changes, says):
    with pytest.raises(UserError) as raised:
        read(mapping_file(mapping_text(**changes)), "weekly")
    assert says in str(raised.value)
    assert raised.value.exit_code == 2


def test_ten_wrong_entries_are_named_and_the_others_counted(mapping_file):
    with pytest.raises(UserError) as raised:
        read(mapping_file(mapping_text(org_units="\n".join(f'c{n} = "x"' for n in range(12)))), "weekly")
    assert str(raised.value).count("is no UID") == 10
    assert "and 2 more; correct the mapping" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\xff", "is no UTF-8 text (byte 0)"), (b"[", "is not TOML"), (b"org_units = 1", "org_units must be a table"),
     (b"a = " + b"[" * 100_000, "is not TOML"), (b"[weekly]\ndata_elements = []", "data_elements must be a table")],
)  # fmt: skip
def test_a_file_that_is_no_mapping_is_rejected(tmp_path, content, says):
    path = tmp_path / "m.toml"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        read(path)
    assert says in str(raised.value)


def test_a_file_that_is_not_there_is_named_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(UserError, match=r"m\.toml: cannot be read: No such file or directory; `ikirere export dhis2"):
        read(tmp_path / "m.toml")


def test_a_mapping_of_both_period_types_needs_a_choice(mapping_file):
    path = mapping_file(mapping_text())
    with pytest.raises(UserError, match="maps weekly and monthly measures; choose one with --period-type"):
        read(path)


def test_an_unknown_city_and_measure_are_named(mapping_file):
    changes = {"org_units": 'atlantis = "OrgKigali01"', "weekly.data_elements": f'frogs = "{UID}"'}
    found = read(mapping_file(mapping_text(**changes)), "weekly")
    with pytest.raises(UserError) as raised:
        found.check(["kigali"], ["hot_days"])
    assert "the city list has no city 'atlantis'" in str(raised.value)
    assert "the weekly marts have no measure 'frogs'" in str(raised.value)


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_as_uid_or_key_is_rejected_and_shown_harmless(mapping_file, name):
    quoted_text = "".join(f"\\U{ord(c):08x}" for c in TEXTS[name] if not 0xD800 <= ord(c) <= 0xDFFF)
    for changes in ({"org_units": f'kigali = "{quoted_text}x"'}, {"org_units": f'"{quoted_text}" = "x"'}):
        with pytest.raises(UserError) as raised:
            read(mapping_file(mapping_text(**changes)), "weekly")
        assert "is no UID of DHIS2" in str(raised.value)
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 500


def test_the_template_needs_only_uids_for_every_city_and_measure(mapping_file):
    cities = {
        "st.gallen": City("st.gallen", "Sankt Gallen", "Schweiz", 47.4, 9.4, "Europe/Zurich", None, None),
        "kigali": City("kigali", 'Ki"gali]\u202e', "Rwanda", -1.9, 30.1, "Africa/Kigali", None, None),
    }
    measures = {"weekly": {"hot_days": "Days with\n30 °C."}, "monthly": {"hot_days": "", "rain_days": "x"}}
    text = template(cities, measures)
    assert 'hot_days = ""  # Days with 30 °C.' in text
    assert all(line.isprintable() for line in text.splitlines())
    assert set(tomllib.loads(text)["org_units"]) == set(cities)
    with pytest.raises(UserError, match="maps no "):
        read(mapping_file(text))
    numbers = iter(range(100, 200))
    filled = re.sub(r'^(.*?) = ""', lambda match: f'{match[1]} = "Invented{next(numbers)}"', text, flags=re.MULTILINE)
    found = read(mapping_file(filled), "monthly")
    assert list(found.org_units) == list(cities)
    assert list(found.data_elements) == ["hot_days", "rain_days"]
