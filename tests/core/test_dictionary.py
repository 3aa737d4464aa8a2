"""The data dictionary's files."""

from pathlib import Path

import pytest

from functions.core import dictionary
from functions.core.variables import VARIABLES
from operations import dictionary_page

PAGE = Path(__file__).parents[2] / "docs" / "data-dictionary.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty dictionary instead of the shipped one."""
    monkeypatch.setattr(dictionary, "DICTIONARY", tmp_path)
    dictionary.tables.cache_clear()
    yield tmp_path
    dictionary.tables.cache_clear()


def test_a_file_is_a_table_with_its_columns(folder):
    (folder / "mart_rain.toml").write_text(
        'description = "Rain."\nkey = ["rain_mm"]\nreaders = false\n'
        '[columns.rain_mm]\ndescription = "Sum of the day."\nunit = "mm"\nstandard = "RR"\nsource = "https://x.example"\n'
        '[columns.place]\ndescription = "Name."\nunit = "text"\n'
    )
    table = dictionary.tables()["mart_rain"]
    assert (table.description, table.key, table.is_for_readers) == ("Rain.", ("rain_mm",), False)
    assert [each.comment for each in table.columns.values()] == ["Sum of the day. Unit: mm. RR.", "Name."]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("description = ", "data dictionary t.toml: TOMLDecodeError"),
        ('description = "x"', "'columns'"),
        ("[columns.a]\ndescription = 'x'\nunit = 'mm'", "'description'"),
        ('description = "x"\n[columns.a]\ndescription = "x"', "unit"),
        ('description = "x"\n[columns.a]\ndescription = "x"\nunit = ""', "unit of a is empty"),
        ('description = "x"\n[columns.a]\ndescription = " "\nunit = "1"', "description of a is empty"),
        ('description = "x"\n[columns.a]\ndescription = "x"\nunit = "1"\nunti = "1"', "unti"),
        ('description = "x"\nreader = true\n[columns.a]\ndescription = "x"\nunit = "1"', "unknown reader"),
        ('description = "x"\nkey = ["b"]\n[columns.a]\ndescription = "x"\nunit = "1"', "unknown b"),
    ],
)
def test_a_wrong_file_is_named_with_its_defect(folder, text, says):
    (folder / "t.toml").write_text(text)
    with pytest.raises(ValueError, match=r"data dictionary t\.toml: ") as raised:
        dictionary.tables()
    assert says in str(raised.value)


def test_the_units_of_the_hours_are_those_that_are_requested():
    columns = dictionary.tables()["staging_weather"].columns
    for variable in VARIABLES.values():
        unit = {"": "1", "wmo code": "code"}.get(variable.unit, variable.unit)
        assert columns[variable.column].unit == unit, variable.name


def test_the_page_is_that_of_the_dictionary():
    assert PAGE.read_text(encoding="utf-8") == dictionary_page.page(), "make dictionary"


def test_the_page_has_a_row_for_each_column():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    for table in dictionary.tables().values():
        rows = lines[lines.index(f"## {table.name}") :]
        for column in table.columns.values():
            assert any(row.startswith(f"| `{column.name}` | {column.unit} | {column.description}") for row in rows)
