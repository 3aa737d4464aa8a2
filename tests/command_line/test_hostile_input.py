"""Hostile arguments, events, city lists and addresses: one bounded, visible message each, and nothing is written."""

import pytest

from command_line.main import main

HEADER = "city_id,city,country,latitude,longitude,timezone,population,area_km2\n"
KIGALI = "kigali,Kigali,Rwanda,-1.95,30.06,Africa/Kigali,1,1\n"
LONG, DIGITS = "x" * 100_000, "9" * 5000
CONTROLLING = "\x1b[31m\x1b]0;t\x07\u202e\u2028\u2066\x9b2J"


@pytest.fixture
def ikirere(tmp_path, monkeypatch, capsys):
    """A function that runs a command in this process with a state folder of its own, and returns code and output."""
    monkeypatch.setenv("IKIRERE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run(*arguments):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = ended.code
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    yield run
    assert not (tmp_path / "state").exists()


def assert_is_short_and_visible(text):
    assert "Traceback" not in text
    assert text.replace("\n", "").isprintable()
    assert len(text) < 2500
    assert max(len(line) for line in text.splitlines()) < 1600


@pytest.mark.parametrize("text", [LONG, DIGITS, CONTROLLING, "\udcff", "=1+1", "%s%n", "'; DROP TABLE dim_city; --"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--start"],
        ["run", "--end"],
        ["run", "--city"],
        ["run", "--variable"],
        ["run", "--run-id"],
        ["run", "--source"],
        ["run", "--weather"],
        ["run", "--cities"],
        ["run", "--timeout"],
        ["run", "--event"],
        ["up", "--schedule"],
        ["up", "--port"],
        ["up", "--postgres-port"],
        ["backfill", "--plan", "--start", "2024-01-01", "--end"],
        ["backfill", "--plan", "--start", "2024-01-01", "--end", "2024-01-02", "--city"],
        ["backfill", "--plan", "--start", "2024-01-01", "--end", "2024-01-02", "--backfill-id"],
        ["backfill", "--plan", "--start", "2024-01-01", "--end", "2024-01-02", "--parallel"],
        ["history", "-n"],
        ["history", "--backfill"],
        ["show", "run", "--run"],
        ["show"],
        ["logs", "--function"],
        ["logs", "--run"],
        ["replay", "--run"],
        ["invoke", "ingest", "--event"],
        ["invoke"],
        ["sql"],
        ["trace", "--city", "kigali", "--date"],
        ["trace", "--date", "2025-11-19", "--column", "pressure", "--city"],
        ["trace", "--city", "kigali", "--date", "2025-11-19", "--column"],
        ["verify", "--start"],
        ["verify", "--end"],
        ["verify", "--start", "2025-11-20", "--end", "2025-11-19", "--city"],
        ["rebuild", "--cities"],
        [],
    ],
    ids=" ".join,
)
def test_a_hostile_argument_is_rejected_with_an_excerpt(ikirere, arguments, text):
    code, shown = ikirere(*arguments, text)
    assert code == 2
    assert_is_short_and_visible(shown)


@pytest.mark.parametrize("text", [LONG, CONTROLLING, "a" * 300])
def test_a_file_with_a_hostile_name_is_named_in_part(ikirere, text):
    for arguments in (["run", "--cities", text], ["invoke", "ingest", "--event", f"@{text}"]):
        code, shown = ikirere(*arguments)
        assert code == 2
        assert_is_short_and_visible(shown)


@pytest.mark.parametrize(
    "event",
    [
        f'{{"start": {DIGITS}}}',
        f'{{"start": "{LONG}"}}',
        f'{{"{LONG}": 1}}',
        '{"\\u202e\\u001b[2J": 1}',
        '{"cities": ["\\u202e\\u001b[2J", "\\ud800", "\\u0000"]}',
        f'{{"cities": [{", ".join(f"{chr(34)}c{n}{chr(34)}" for n in range(300))}]}}',
        f'{{"variables": ["{LONG}"]}}',
        f'{{"run_id": "{LONG}"}}',
        f'{{"end": {"[" * 500}{"]" * 500}}}',
        f'{{"end": {"[" * 100_000}{"]" * 100_000}}}',
        '{"end": 1e400, "start": NaN}',
        f"{{{', '.join(f'{chr(34)}k{n}{chr(34)}: 1' for n in range(5000))}}}",
    ],
)
def test_a_hostile_event_is_rejected_with_an_excerpt(ikirere, event):
    code, shown = ikirere("run", "--event", event)
    assert code == 2
    assert_is_short_and_visible(shown)


@pytest.mark.parametrize(
    "text",
    [
        HEADER + KIGALI.replace("kigali,", f"{LONG},"),
        HEADER + KIGALI.replace("Kigali,", f"{CONTROLLING},"),
        HEADER + KIGALI.replace("Kigali,", f"{LONG},"),
        HEADER + KIGALI.replace("Rwanda", "\u200d=HYPERLINK(1)"),
        HEADER + KIGALI.replace("-1.95", DIGITS),
        HEADER + KIGALI.replace("-1.95", f"1e{DIGITS}"),
        HEADER + KIGALI.replace(",1,1", f",{DIGITS},1"),
        HEADER + KIGALI.replace(",1,1", f",1,{CONTROLLING}"),
        HEADER + KIGALI.replace("Africa/Kigali", CONTROLLING),
        HEADER + KIGALI.replace("Africa/Kigali", f"../{LONG}"),
        HEADER + "".join(KIGALI.replace("kigali", f"c{n}").replace("-1.95", DIGITS) for n in range(50)),
        HEADER + "x," * 200_000,
        HEADER + f'"{"x" * 200_000}',
        LONG,
        CONTROLLING,
        "\x00" * 1000,
    ],
)
def test_a_hostile_city_list_is_rejected_with_an_excerpt(ikirere, tmp_path, text):
    (tmp_path / "cities.csv").write_text(text, newline="")
    code, shown = ikirere("run", "--cities", str(tmp_path / "cities.csv"))
    assert code == 2
    assert_is_short_and_visible(shown)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:pw@127.0.0.1:9/{LONG}",
        f"postgresql://{LONG}@127.0.0.1:9/x",
        f"postgresql://me@127.0.0.1:{DIGITS}/x",
        "postgresql://me@127.0.0.1:9/%1b%5b31m",
        "postgresql://me@127.0.0.1:9/\u202ex",
        "postgresql://me@127.0.0.1:9/x?options=%1b",
        f"host=127.0.0.1 port=9 dbname={LONG}",
        "postgresql://me@[::1",
    ],
)
def test_a_hostile_database_url_is_rejected_with_an_excerpt(ikirere, monkeypatch, url):
    monkeypatch.setenv("DATABASE_URL", url)
    for command in (["run"], ["sql", "SELECT 1"]):
        code, shown = ikirere(*command)
        assert code == 2
        assert_is_short_and_visible(shown)
