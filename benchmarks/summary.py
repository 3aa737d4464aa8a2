"""Medians of the results, the goals they are held to, and their tables in Markdown. Standard library only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any

Json = dict[str, Any]
STEPS = ("ingest", "transform", "load")
TITLES = {
    "ikirere": "Ikirere",
    "baseline": "baseline",
    "dlt": "dlt, all columns",
    "dlt_narrow": "dlt, measures only",
    "floor": "floor: server-side COPY",
}


@dataclass(frozen=True, slots=True)
class Goal:
    """What issue 8 asks for: ``measured`` must be at least (or at most) ``value``; None if it was not measured."""

    what: str
    value: float
    measured: float | None
    at_least: bool = False

    @property
    def result(self) -> str:
        if self.measured is None:
            return "not measured"
        met = self.measured >= self.value if self.at_least else self.measured <= self.value
        return "met" if met else "**missed**"


def contest(rows: Iterable[Json]) -> list[Json]:
    """Return one row for each size, contestant and run: medians over the rounds.

    ``times`` is the median of the rounds' ratios: the seconds of the contestant to those of Ikirere in the same round.
    ``load_times`` is the inverse for the loads alone, which is how far Ikirere's load is above the floor.
    """
    rows = list(rows)
    own = {(row["size"], row["round"], row["run"]): row["seconds"] for row in rows if row["contestant"] == "ikirere"}
    made = []
    for (size, contestant, run), group in _grouped(rows, "size", "contestant", "run"):
        seconds = [sum(row["seconds"].values()) for row in group]
        against = [own[size, row["round"], run] for row in group if (size, row["round"], run) in own]
        made.append(
            {
                "size": size,
                "contestant": contestant,
                "run": run,
                "rounds": len(group),
                "rows": group[0]["rows"],
                "seconds": median(seconds),
                "low": min(seconds),
                "high": max(seconds),
                **{step: median(row["seconds"].get(step, 0.0) for row in group) for step in STEPS},
                "times": median(s / sum(o.values()) for s, o in zip(seconds, against, strict=True))
                if against
                else None,
                "transform_times": _ratio(group, against, "transform"),
                "load_times": _ratio(group, against, "load"),
                "wal_mb": median(row["wal_bytes"] for row in group) / 1e6 if "wal_bytes" in group[0] else None,
                "mart_rows_written": max(row.get("mart_rows_written", 0) for row in group),
                "statements": group[0].get("statements"),
                "peak_mb": max(row["peak_mb"] for row in group) if "peak_mb" in group[0] else None,
            }
        )
    return made


def growth(rows: Iterable[Json]) -> list[Json]:
    """Return one row for each warehouse; ``times`` is the median of the rounds' ratios to the first one's load."""
    rows = list(rows)
    first = {row["round"]: row["seconds"] for row in rows if row["warehouse"] == rows[0]["warehouse"]}
    return [
        {
            "warehouse": name,
            "rounds": len(group),
            **{step: median(row["seconds"][step] for row in group) for step in STEPS},
            "times": median(row["seconds"]["load"] / first[row["round"]]["load"] for row in group),
            "all_times": median(sum(row["seconds"].values()) / sum(first[row["round"]].values()) for row in group),
            "wal_mb": median(row["wal_bytes"] for row in group) / 1e6,
        }
        for (name,), group in _grouped(rows, "warehouse")
    ]


def imports(rows: Iterable[Json]) -> list[Json]:
    """Return one row for each import; ``times`` is the median of the rounds' ratios to the first one."""
    rows = list(rows)
    first = {row["round"]: row["seconds"] for row in rows if row["import"] == rows[0]["import"]}
    return [
        {
            "import": name,
            "rounds": len(group),
            "seconds": median(row["seconds"] for row in group),
            "times": median(row["seconds"] / first[row["round"]] for row in group),
        }
        for (name,), group in _grouped(rows, "import")
    ]


def _grouped(rows: Sequence[Json], *keys: str) -> list[tuple[tuple[Any, ...], list[Json]]]:
    """Return the rows by these keys, in the order in which they first appear."""
    order: dict[tuple[Any, ...], list[Json]] = {}
    for key, group in groupby(rows, lambda row: tuple(row[name] for name in keys)):
        order.setdefault(key, []).extend(group)
    return list(order.items())


def _ratio(group: Sequence[Json], own: Sequence[Mapping[str, float]], step: str) -> float | None:
    """Return the median ratio of one step's seconds to Ikirere's, or None where either does not have the step."""
    pairs = list(zip(group, own, strict=False))
    if not pairs or any(step not in row["seconds"] or step not in seconds for row, seconds in pairs):
        return None
    return float(median(row["seconds"][step] / seconds[step] for row, seconds in pairs))


def goals(found: Mapping[str, list[Json]]) -> list[Goal]:
    """Return the goals with what was measured; ``found`` has the rows of ``contest``, ``growth`` ... by bench."""

    def one(bench: str, column: str, **where: Any) -> float | None:
        rows = [row for row in found.get(bench, ()) if all(row[key] == value for key, value in where.items())]
        return None if not rows or rows[0][column] is None else float(rows[0][column])

    def against(column: str, size: str, contestant: str, run: str = "first") -> float | None:
        return one("contest", column, size=size, contestant=contestant, run=run)

    def inverse(value: float | None) -> float | None:
        return 1 / value if value else None

    def per_row(size: str) -> float | None:
        seconds, rows = (one("contest", c, size=size, contestant="ikirere", run="first") for c in ("seconds", "rows"))
        return seconds / rows if seconds and rows else None

    large, medium = per_row("XL"), per_row("M")
    steps = [
        Goal(f"{step}: peak memory at {size}, MB", limit, one("memory", "peak_mb", size=size, step=step))
        for step, limit in (("ingest", 100), ("transform", 250), ("load", 100))
        for size in ("M", "XL")
    ]
    return [
        Goal("M, first load: times faster than the baseline", 20, against("times", "M", "baseline"), at_least=True),
        Goal("M, rerun: times faster than the baseline", 28, against("times", "M", "baseline", "rerun"), at_least=True),
        Goal("L, first load: times faster than the baseline", 25, against("times", "L", "baseline"), at_least=True),
        Goal("L, first load: times faster than dlt, all columns", 1, against("times", "L", "dlt"), at_least=True),
        Goal("L, rerun: times faster than dlt, all columns", 2, against("times", "L", "dlt", "rerun"), at_least=True),
        Goal("L, first load: load to the floor", 2, inverse(against("load_times", "L", "floor"))),
        Goal(
            "L: transform, times faster than the baseline's",
            5,
            against("transform_times", "L", "baseline"),
            at_least=True,
        ),
        Goal("L, unchanged rerun: MB of WAL", 1, against("wal_mb", "L", "ikirere", "rerun")),
        Goal("L, unchanged rerun: rows of the marts written", 0, against("mart_rows_written", "L", "ikirere", "rerun")),
        Goal(
            "load of a daily batch (stored hours unchanged), 4.4 million to 876,000",
            1.2,
            one("growth", "times", warehouse="4.4 million"),
        ),
        Goal(
            "load of a daily batch (stored hours unchanged), 44 million to 876,000",
            1.5,
            one("growth", "times", warehouse="44 million"),
        ),
        *steps,
        Goal("cost of a row, XL to M", 1.1, large / medium if large and medium else None),
        *(
            Goal(f"import of {name}, to boto3 with an S3 client", limit, one("imports", "times", **{"import": name}))
            for name, limit in (("ingest", 1.3), ("transform", 1.5), ("model", 1.3))
        ),
        Goal("100 cities x 365 days through the state machine, s", 15, one("year", "seconds", run="first")),
        Goal("10,000 cities through the state machine, s", 35, one("daily", "seconds", cities=10_000, run="first")),
        Goal("the same, unchanged rerun, s", 25, one("daily", "seconds", cities=10_000, run="rerun")),
    ]


def contest_table(rows: Iterable[Json]) -> list[str]:
    cells = [
        (
            row["size"], TITLES[row["contestant"]], row["run"], f"{row['rows']:,}", number(row["seconds"]),
            *(number(row[step]) if row[step] else "" for step in STEPS),
            "" if row["contestant"] == "ikirere" else number(row["times"]),
            number(row["wal_mb"]), number(row["peak_mb"]),
        )
        for row in rows
    ]  # fmt: skip
    names = ("size", "contestant", "run", "rows", "seconds", *STEPS, "times Ikirere's", "WAL, MB", "peak, MB")
    return table(names, cells)


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [f"| {' | '.join(names)} |", "|" + "---|" * len(names), *(f"| {' | '.join(row)} |" for row in rows)]


def number(value: float | None) -> str:
    """Return a number with three digits that count; an empty string for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
