"""``ikirere export dhis2``: from a run of the pipeline to a server that behaves as DHIS2's documentation says."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT, CommandLine
from dhis2.contract_server import TOKEN, ContractServer, Element

from command_line.main import main, parser

UIDS = {"kigali": "OrgKigali01", "musanze": "OrgMusanze1", "huye": "OrgHuye0001"}
ELEMENTS = {"avg_temperature_c": "ElemAvgTemp", "hot_days": "ElemHotDays"}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """An emulator with three weeks of the archive: the middle one is whole."""
    command = CommandLine(tmp_path_factory.mktemp("dhis2") / "state", DHIS2_TOKEN=TOKEN)
    command("run", "--weather", "synthetic", "--source", "archive", "--start", "2026-10-30", "--end", "2026-11-11")
    yield command
    command("down")
    assert command.processes() == []


@pytest.fixture
def server():
    with ContractServer() as made:
        made.org_units.update(UIDS.values())
        made.elements = {uid: Element("INTEGER" if "Days" in uid else "NUMBER") for uid in ELEMENTS.values()}
        yield made


@pytest.fixture
def mapping(loaded, tmp_path):
    """The template of the city list, filled in for weeks."""
    path = tmp_path / "mapping.toml"
    loaded("export", "dhis2", "--template", str(path))
    text = path.read_text()
    weekly, monthly = text.split("[monthly]")
    for name, uid in (UIDS | ELEMENTS).items():
        weekly = re.sub(rf'^{name} = ""', f'{name} = "{uid}"', weekly, flags=re.MULTILINE)
    path.write_text(f"{weekly}[monthly]{monthly}")
    return str(path)


def test_from_template_to_server_and_again(loaded, mapping, server, tmp_path):
    arguments = ("export", "dhis2", "--mapping", mapping, "--post", server.url)
    first = loaded(*arguments)
    assert first.stdout.splitlines() == [
        "dry run: 6 values: 6 imported, 0 updated, 0 ignored, 0 deleted",
        "import: 6 values: 6 imported, 0 updated, 0 ignored, 0 deleted",
    ]
    rows = json.loads(
        loaded("sql", "--json", "SELECT city_id, round(avg_temperature_c, 2) AS t FROM mart_weekly_city_weather "
               "WHERE period = '2026W45' AND is_complete").stdout
    )  # fmt: skip
    stored = {key[2]: float(value) for key, value in server.stored.items() if key[0] == "ElemAvgTemp"}
    assert stored == {UIDS[row["city_id"]]: row["t"] for row in rows}
    assert {key[1] for key in server.stored} == {"2026W45"}
    again = loaded(*arguments)
    assert "  6 values unchanged: ignored because DHIS2 has it already" in again.stdout
    assert server.writes == [6, 0]
    exports = ("--exports", str(tmp_path / "exports.toml"))
    loaded(*arguments, "--save", "weekly", *exports)
    assert TOKEN not in (tmp_path / "exports.toml").read_text()
    assert loaded.json("export", "dhis2", "--run", "weekly", *exports)["imported"]["ignored"] == 6
    assert server.writes == [6, 0, 0]


def test_what_dhis2_refuses_is_named_and_nothing_is_imported(loaded, mapping, server):
    server.org_units.remove(UIDS["huye"])
    refused = loaded("export", "dhis2", "--mapping", mapping, "--post", server.url, expect=1)
    assert refused.stdout.splitlines() == [
        "dry run: 6 values: 4 imported, 0 updated, 2 ignored, 0 deleted",
        "  refused: 2 values",
        "  huye: Organisation unit not found or not accessible: `OrgHuye0001` (E7612)",
        "Nothing was imported: correct what DHIS2 refuses, or import the rest with --accept-partial.",
    ]
    assert not server.stored
    partial = loaded("export", "dhis2", "--mapping", mapping, "--post", server.url, "--accept-partial", expect=1)
    assert "import: 6 values: 4 imported" in partial.stdout
    assert len(server.stored) == 4


def test_the_token_is_in_no_output_file_or_log(loaded, mapping, server, tmp_path):
    server.instead = [(500, json.dumps({"message": TOKEN}).encode(), {})]
    outputs = [loaded("export", "dhis2", "--mapping", mapping, "--post", server.url, expect=2)]
    outputs += [loaded("export", "dhis2", "--mapping", mapping, "--post", server.url)]
    for done in outputs:
        assert TOKEN not in done.stdout + done.stderr
    for path in loaded.state.rglob("*"):
        if path.is_file() and not path.is_relative_to(loaded.state / "postgres"):
            assert TOKEN.encode() not in path.read_bytes(), path


def test_a_file_is_written_whole_and_replaced_only_if_asked(loaded, mapping, tmp_path):
    output = tmp_path / "values.json"
    arguments = ("export", "dhis2", "--mapping", mapping, "--output", str(output))
    first = loaded(*arguments)
    assert first.stdout == f"{output}: 6 values\n"
    # weather that nobody measured must not get into a health system unseen
    assert first.stderr == "Synthetic weather: made up, not measured.\n"
    on_output = loaded("export", "dhis2", "--mapping", mapping).stdout
    assert on_output == output.read_text()
    assert len(json.loads(on_output)["dataValues"]) == 6
    assert "is there already" in loaded(*arguments, expect=2).stderr
    assert loaded.json(*arguments, "--force", "--include-incomplete")["values"] == 18
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mapping.toml", "values.json"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--mapping", "m.toml", "--output", "x", "--post", "https://h"], "give one of both"),
        (["--mapping", "m.toml", "--dry-run"], "are for a post"),
        (["--mapping", "m.toml", "--json"], "--json is for the result"),
        (["--mapping", "m.toml", "--save", "x"], "--save needs --post URL or --output FILE"),
        (["--mapping", "m.toml", "--save", "x", "--post", "https://h", "--start", "2026-01-01"], "leave out --start"),
        (["--mapping", "m.toml", "--save", "x", "--post", "https://h", "--dry-run"], "give --dry-run to --run"),
        (["--mapping", "m.toml", "--save", "x", "--post", "https://h", "--accept-partial"], "give --dry-run to --run"),
        (["--mapping", "m.toml", "--save", "x", "--post", "https://h", "--json"], "--json is for the result"),
        (["--template", "t.toml", "--json"], "--json is for the result"),
        (["--template", "t.toml", "--post", "https://h"], "--template only writes a mapping to fill in"),
        (["--template", "t.toml", "--include-incomplete"], "--template only writes a mapping to fill in"),
        (["--mapping", "m.toml", "--start", "1.1.2026"], "must be a day as YYYY-MM-DD"),
        (["--mapping", "m.toml", "--start", "2026-02-01", "--end", "2026-01-01"], "is before"),
        (["--mapping", "m.toml"], "m.toml: cannot be read"),
        (["--run", "x", "--last", "3"], "--run repeats an export as it is saved"),
        (["--run", "x", "--exports", "none.toml"], "none.toml: is not there"),
        (["--mapping", "m.toml", "--last", "0"], "is not a whole number above 0"),
        ([], "one of the arguments"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_one_message(tmp_path, arguments, says):
    done = subprocess.run(
        [sys.executable, "-m", "command_line", "--state", str(tmp_path / "state"), "export", "dhis2", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_there_is_not_saved_to_be_replaced_unless_that_is_asked_for(loaded, mapping, tmp_path):
    output, exports = tmp_path / "thesis.json", ("--exports", str(tmp_path / "exports.toml"))
    output.write_text("years")
    arguments = ("export", "dhis2", "--mapping", mapping, "--output", str(output), "--save", "weekly", *exports)
    assert "thesis.json is there already" in loaded(*arguments, expect=2).stderr
    loaded(*arguments, "--force")
    assert 'period_type = "weekly"' in (tmp_path / "exports.toml").read_text()
    assert loaded("export", "dhis2", "--run", "weekly", *exports).stdout == f"{output}: 6 values\n"


def test_a_missing_token_is_said_before_anything_is_sent(loaded, mapping, server, monkeypatch, capsys):
    monkeypatch.delenv("DHIS2_TOKEN", raising=False)
    arguments = ["--state", str(loaded.state), "export", "dhis2", "--mapping", mapping, "--post", server.url]
    assert main(arguments) == 2
    assert "in the environment variable DHIS2_TOKEN" in capsys.readouterr().err
    assert not server.requests


def test_the_commands_of_the_page_on_dhis2_work_in_this_order(loaded, mapping, server, tmp_path):
    page = (ROOT / "docs" / "dhis2.md").read_text(encoding="utf-8")
    commands = re.search(r"```sh\n(.*?)```", page, re.DOTALL)[1].replace("https://dhis2.example.org", server.url)
    environment = {**loaded.environment, "PYTHONPATH": str(ROOT)}
    (tmp_path / "here").mkdir()
    for line in commands.splitlines():
        if not line.startswith("ikirere "):
            continue
        words = [sys.executable, "-m", "command_line", *shlex.split(line)[1:]]
        done = subprocess.run(
            words, cwd=tmp_path / "here", env=environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if "--template" in line:
            text = Path(mapping).read_text().replace('is_malaria_suitable = ""', 'is_malaria_suitable = "ElemMalaria"')
            (tmp_path / "here" / "mapping.toml").write_text(text)
    assert server.writes == [6, 0]
    assert json.loads((tmp_path / "here" / "values.json").read_text()) == {"dataValues": []}


def test_the_command_is_one_of_the_forms_of_export():
    assert parser().parse_args(["export", "dhis2", "--mapping", "m.toml"]).mapping == "m.toml"
