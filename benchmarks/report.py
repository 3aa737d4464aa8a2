"""Writes docs/performance.md and its plots: from docs/performance/summary.json, brought up to date from the results."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks import summary
from benchmarks.summary import STEPS, TITLES, number, table

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDER = DOCS / "performance"
_COLOURS = {"ingest": "#4e79a7", "transform": "#f28e2b", "load": "#59a14f"}
_METHOD = """\
Sizes: S is 3 cities and 2 days (144 rows), M 100 and 30 days (72,000), L 100 and 365 days (876,000), XL 100 and 5 years
(4.4 million, as five runs of a year). XL has one round and no baseline. The weather is made up, by the program that
`GEN_WORKLOAD` names or by a generator of the same shape.

- **Ikirere**: the three handlers in one process; real HTTP, S3 from the emulator, a commercial plan's key (no quota).
- **baseline**: what many teams run: one request for each city, pandas, CSV on S3, `to_dict`, `executemany`, a mart by
  TRUNCATE and INSERT. Its way over CSV counts as load, Ikirere's processed objects count as transform.
- **dlt** 1.31: local files, arrow tables, parquet, merge by key (upsert); no requests, no raw copies, no marts. Once
  with all columns of `staging_weather` that have values, once with keys and measures only.
- **floor**: server-side `COPY` of a file of the staged rows into a bare table of the same columns.

All contestants run in each round, in another order each time, each in a process and a database of its own. Process
start and imports are not counted; clients and connections are. `first` loads into an empty database; `rerun` loads the
same weather again, from a new request, in the same process. Before each run the database is vacuumed, as autovacuum
does within minutes, and a checkpoint is made. Times are medians; ratios are medians of the rounds' ratios."""


def write(results: Path) -> None:
    """Bring the summary up to date with the results, then write plots and page."""
    FOLDER.mkdir(exist_ok=True)
    stored = FOLDER / "summary.json"
    benches = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    benches |= {path.stem: _condensed(path) for path in sorted(results.glob("*.json"))}
    stored.write_text(json.dumps(benches, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    found: dict[str, list[dict[str, Any]]] = {}
    for name in sorted(benches, key=_order):
        found.setdefault(name.partition("-")[0], []).extend(benches[name]["rows"])
    (DOCS / "performance.md").write_text("\n".join(_page(benches, found)) + "\n", encoding="utf-8")


def _order(name: str) -> tuple[str, int]:
    bench, _, part = name.partition("-")
    return bench, ("S", "M", "L", "XL").index(part) if part in ("S", "M", "L", "XL") else 0


def _condensed(path: Path) -> dict[str, Any]:
    """Return a bench's result with its rounds condensed to medians."""
    result = json.loads(path.read_text(encoding="utf-8"))
    bench = path.stem.partition("-")[0]
    condense = {"contest": summary.contest, "growth": summary.growth, "imports": summary.imports}.get(bench)
    rows = condense(result["rows"]) if condense else result["rows"]
    rounded = [
        {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()} for row in rows
    ]
    return {**result, "rows": rounded}


def _page(benches: dict[str, Any], found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the page; a bench without results has no section."""
    return [
        "# Performance",
        "",
        *_machine_lines(benches),
        *_goals(found),
        *_contest(found.get("contest", [])),
        *_memory(found.get("memory", [])),
        *_growth(found.get("growth", [])),
        *_imports(found.get("imports", [])),
        *_state_machine([*found.get("daily", ()), *found.get("year", ())]),
    ]


def _goals(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    cells = [
        (goal.what, f"{'at least' if goal.at_least else 'at most'} {goal.value:g}", number(goal.measured), goal.result)
        for goal in summary.goals(found)
    ]
    return ["", "## The goals", "", *table(("what", "goal", "measured", ""), cells)]


def _contest(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    own = [
        (row["size"], row["run"], str(row["statements"]), f"{row['mart_rows_written']:,}", str(row["rounds"]))
        for row in rows
        if row["contestant"] == "ikirere"
    ]
    return [
        *_section("First load and unchanged rerun", _METHOD, _contest_plot(rows), summary.contest_table(rows)),
        "",
        "Statements that Ikirere's load sends, and rows of the marts that a run writes:",
        "",
        *table(("size", "run", "statements", "mart rows", "rounds"), own),
    ]


def _memory(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    cells = [(row["size"], row["step"], number(row["imported_mb"]), number(row["peak_mb"])) for row in rows]
    lines = table(("size", "step", "after imports, MB", "peak, MB"), cells)
    return _section("Peak memory", "Each step of a first load in a process of its own.", _memory_plot(rows), lines)


def _growth(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    figures = [*STEPS, "times", "all_times", "wal_mb"]
    cells = [(row["warehouse"], *(number(row[name]) for name in figures)) for row in rows]
    names = ("rows in the warehouse", *STEPS, "load, times the first", "all, times the first", "WAL, MB")
    text = (
        "A daily batch, 100 cities and four days of which two are new, into larger and larger warehouses. The hours of "
        "the two others are unchanged; other values cost more ([decision 13](decisions/0013-growth.md)). "
        "The smallest warehouse is first in each round, so its ingest has the cost of the first request."
    )
    return _section("Growth", text, _growth_plot(rows), table(names, cells))


def _imports(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    cells = [(row["import"], number(1000 * row["seconds"]), number(row["times"])) for row in rows]
    lines = table(("import", "milliseconds", "times boto3's"), cells)
    return _section("Import time", "From compiled bytecode, in new processes.", "", lines)


def _state_machine(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    # the stored summary has its names sorted
    functions = [f"{name}_{unit}" for unit in ("s", "cpu", "mb") for name in ("ingest", "transform", "model")]
    columns = ["cities", "run", "rows", "requests", "seconds", *functions, "raw_mb", "processed_mb", "database_mb"]
    cells = [[f"{row[name]:,}" if isinstance(row[name], int) else str(row[name]) for name in columns] for row in rows]
    text = "On the emulator, with cold starts; the columns are those of `make measure` (see [checks](checks.md))."
    return _section("Through the state machine", text, "", table(columns, cells))


def _section(title: str, text: str, plot: str, lines: list[str]) -> list[str]:
    picture = [f"![{title}](performance/{plot}.png)", ""] if plot else []
    return ["", f"## {title}", "", text, "", *picture, *lines]


def _machine_lines(benches: dict[str, Any]) -> list[str]:
    """Return what the figures were taken on: one line for each date and machine."""
    seen: dict[str, list[str]] = {}
    for name, bench in benches.items():
        machine = bench["machine"]
        postgres = f", PostgreSQL {machine['postgres']}" if "postgres" in machine else ""
        line = (
            f"{bench['date']}: {machine['cores']} cores of {machine['cpu']}, {machine['memory']}, {machine['system']}, "
            f"Python {machine['python']}{postgres}"
        )
        # a bench alone keeps about as many processes busy as there are cores
        busy = float(machine["load"]) > int(machine["cores"]) + 1
        seen.setdefault(line, []).append(f"{name} (**machine busy**, load {machine['load']})" if busy else name)
    lines = ["`make bench` measures and writes this page; nothing here is edited by hand.", ""]
    return lines + [f"- {line}: {', '.join(names)}" for line, names in seen.items()]


def _figure(wide: int, columns: int = 1) -> Any:
    mpl.use("Agg")
    plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "savefig.dpi": 150})
    return plt.subplots(1, columns, figsize=(wide, 3.2), layout="constrained", squeeze=False)


def _save(figure: Any, name: str) -> str:
    # no date and no version in the file: the same figures make the same picture
    figure.savefig(FOLDER / f"{name}.png", metadata={"Software": None})
    plt.close(figure)
    return name


def _contest_plot(rows: list[dict[str, Any]]) -> str:
    sizes = [size for size in ("M", "L") if any(row["size"] == size for row in rows)]
    if not sizes:
        return ""
    figure, axes = _figure(10, len(sizes))
    for axis, size in zip(axes[0], sizes, strict=True):
        shown = [row for row in rows if row["size"] == size][::-1]
        names = [f"{TITLES[row['contestant']]}, {row['run']}" for row in shown]
        left = [0.0] * len(shown)
        for step in STEPS:
            axis.barh(names, [row[step] for row in shown], left=left, color=_COLOURS[step], label=step)
            left = [done + row[step] for done, row in zip(left, shown, strict=True)]
        axis.bar_label(axis.containers[-1], [f"{number(row['seconds'])} s" for row in shown], padding=3)
        axis.set(title=f"{size}: {shown[0]['rows']:,} rows, seconds", xlim=(0, 1.15 * max(left)))
    axes[0][0].legend(frameon=False, loc="lower right")
    return _save(figure, "contest")


def _memory_plot(rows: list[dict[str, Any]]) -> str:
    figure, axes = _figure(6)
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    for n, step in enumerate(STEPS):
        peaks = {row["size"]: row["peak_mb"] for row in rows if row["step"] == step}
        places = [position + 0.27 * (n - 1) for position in range(len(sizes))]
        bars = axes[0][0].bar(places, [peaks[size] for size in sizes], width=0.25, color=_COLOURS[step], label=step)
        axes[0][0].bar_label(bars, fmt="{:.0f}")
    axes[0][0].set_xticks(range(len(sizes)), sizes)
    axes[0][0].set(title="Peak memory of a first load, MB")
    axes[0][0].legend(frameon=False)
    return _save(figure, "memory")


def _growth_plot(rows: list[dict[str, Any]]) -> str:
    figure, axes = _figure(6)
    bars = axes[0][0].bar(
        [row["warehouse"] for row in rows], [row["load"] for row in rows], width=0.5, color=_COLOURS["load"]
    )
    axes[0][0].bar_label(bars, [f"{row['load']:.2f} s" for row in rows])
    axes[0][0].set(title="Load of a daily batch, by rows in the warehouse", ylabel="seconds")
    return _save(figure, "growth")
