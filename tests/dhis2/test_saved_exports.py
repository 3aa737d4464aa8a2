"""Named exports in a file: saved once, found again, and each wrong entry named."""

import tomllib
from pathlib import Path

import pytest
from security.hostile import TEXTS

from deployment.errors import UserError
from operations.dhis2.saved import SavedExport, find, save


def test_a_saved_export_is_found_again_and_its_paths_move_with_the_file(tmp_path):
    file = tmp_path / "here" / "exports.toml"
    file.parent.mkdir()
    weekly = SavedExport(tmp_path / "m.toml", "weekly", 12, True, post="https://dhis2.example")
    monthly = SavedExport(tmp_path / "m.toml", output=tmp_path / "here" / "m.json")
    save(file, "weekly-rwanda", weekly)
    file.write_text(f"# a comment of a person\n{file.read_text()}")
    save(file, "monthly", monthly)
    text = file.read_text()
    assert text.startswith("# a comment of a person\n")
    assert 'mapping = "../m.toml"' in text
    assert find(file, "weekly-rwanda") == SavedExport(
        file.parent / "../m.toml", "weekly", 12, True, post="https://dhis2.example"
    )
    assert find(file, "monthly").output == tmp_path / "here" / "m.json"
    assert find(file, "monthly").last == 8


def test_a_name_is_saved_once(tmp_path):
    file = tmp_path / "exports.toml"
    save(file, "weekly", SavedExport(Path("m.toml"), post="https://a.example"))
    before = file.read_bytes()
    with pytest.raises(UserError, match="has an export 'weekly' already; edit it there"):
        save(file, "weekly", SavedExport(Path("m.toml"), post="https://b.example"))
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["exports.toml"]


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_is_no_name_and_as_a_path_is_kept(tmp_path, name):
    text = TEXTS[name]
    if not text.replace("-", "").replace("_", "").isalnum() or not text.isascii():
        with pytest.raises(UserError, match=r"--save .*: must be 1 to 63"):
            save(tmp_path / "exports.toml", text, SavedExport(Path("m.toml")))
    if "\0" not in text and not any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        save(tmp_path / "exports.toml", "x", SavedExport(tmp_path / f"m{text}", post="https://a.example"))
        found = tomllib.loads((tmp_path / "exports.toml").read_text(encoding="utf-8"))
        assert list(found["exports"]) == ["x"]
        assert find(tmp_path / "exports.toml", "x").mapping.resolve() == (tmp_path / f"m{text}").resolve()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no export 'x'; it has none"),
        ('[exports.y]\nmapping = "m"', "has no export 'x'; it has y"),
        ("exports = 1", "exports must be tables of TOML"),
        ("exports.x = 1", "exports must be tables of TOML"),
        ("[", "is not TOML"),
        ('[exports.x]\nmapping = "m"', "must have a mapping, and either post or output"),
        ('[exports.x]\npost = "https://a.example"', "must have a mapping"),
        ('[exports.x]\nmapping = "m"\npost = "https://a.example"\noutput = "f"', "either post or output"),
        ('[exports.x]\nmapping = 1\npost = "https://a.example"', "mapping must be of the type str"),
        ('[exports.x]\nmapping = "m"\npost = "p"\nlast = true', "last must be of the type int"),
        ('[exports.x]\nmapping = "m"\npost = "p"\nlast = 0', "last must be 1 to 10,000 periods"),
        ('[exports.x]\nmapping = "m"\npost = "p"\nperiod_type = "daily"', "period_type must be weekly or monthly"),
        ('[exports.x]\nmapping = "m"\npost = "p"\ntoken = "t"', "unknown key 'token'"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, text, says):
    (tmp_path / "exports.toml").write_text(text)
    with pytest.raises(UserError) as raised:
        find(tmp_path / "exports.toml", "x")
    assert says in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="is not there; save an export with --save"):
        find(tmp_path / "exports.toml", "x")
