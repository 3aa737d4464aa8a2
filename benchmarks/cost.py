"""The monthly cost of daily runs on AWS: the table of docs/aws.md, from list prices and docs/performance.md.

``python -m benchmarks.cost`` prints it. Prices are those of us-east-1 in US dollars, without any free tier; a month has
730 hours and 30 runs. The prices of RDS and Step Functions were checked in 2026-11, the others were not: compare them
with the pages below before you plan a budget.
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

MEASURED = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
RUNS, HOURS = 30, 730

# https://aws.amazon.com/lambda/pricing/: x86, a GB-second, a request. A function has one core at 1,769 MB.
GB_SECOND, INVOCATION, CORE_GB = 0.0000166667, 0.20e-6, 1.769
# https://aws.amazon.com/step-functions/pricing/
TRANSITION = 0.025e-3
# https://aws.amazon.com/s3/pricing/: PUT and LIST, GET and HEAD, a GB-month of standard storage. S3 moves no raw object
# of a daily run to another class: they are too small
PUT, GET, STORAGE_GB = 0.005e-3, 0.0004e-3, 0.023
# https://aws.amazon.com/cloudwatch/pricing/: dashboard, alarm, metric (by the hour it is written in), a GB of logs
DASHBOARD, ALARM, METRIC, LOG_GB = 3.00, 0.10, 0.30, 0.50
# https://aws.amazon.com/secrets-manager/pricing/
SECRET = 0.40
# https://aws.amazon.com/rds/postgresql/pricing/, one zone, by the hour; a GB-month of gp3
DATABASE_HOUR = {"db.t4g.micro": 0.016, "db.t4g.medium": 0.065}
DATABASE_GB = 0.115
# https://aws.amazon.com/privatelink/pricing/: an interface endpoint in one zone, by the hour
ENDPOINT_HOUR = 0.01

ALARMS, METRICS, SECRETS = 11, 17, 3
PROCESSED_DAYS, YEAR = 90, 365
# The time of a request to Open-Meteo over the internet, which the stand-in's figures do not contain.
SECONDS_A_REQUEST, INGEST_GB, MODEL_GB = 1.0, 0.25, 0.5
LOG_BYTES_A_STEP = 4_000
# The free host's minutely quota, in cities.
FREE_A_MINUTE = 600


@dataclass(frozen=True, slots=True)
class Size:
    """A number of cities, the database's class, and its gigabytes after a year."""

    cities: int
    database: str
    database_gb: int


SIZES = (Size(3, "db.t4g.micro", 20), Size(100, "db.t4g.micro", 20), Size(10_000, "db.t4g.medium", 40))


def measured(text: str) -> dict[int, dict[str, float]]:
    """Return the first runs in the table of ``make measure``, by number of cities: with cold starts, as daily runs."""
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("| ")]
    start = next(n for n, line in enumerate(lines) if line.startswith("cities | run"))
    names = lines[start].split(" | ")
    found: dict[int, dict[str, float]] = {}
    for cells in csv.reader(line.replace(",", "").replace(" | ", ",") for line in lines[start + 1 :]):
        if len(cells) != len(names) or cells[1] not in ("first", "rerun"):
            break
        if cells[1] == "first":
            row = {name: float(cell) for name, cell in zip(names, cells, strict=True) if name != "run"}
            # the daily runs are before the others
            found.setdefault(int(row["cities"]), row)
    return found


def month(size: Size, row: dict[str, float]) -> dict[str, float]:
    """Return the dollars of a month by service, after a year of such runs."""
    parts = row["requests"]
    # one invocation of Ingest uses up the minutely quota, then the state machine waits
    ingests = max(1, row["cities"] / FREE_A_MINUTE)
    steps = 5 + 3 * (ingests - 1) + parts
    invocations = ingests + parts + 1
    cpu = row["ingest_cpu"] + row["transform_cpu"] + row["model_cpu"]
    gb_seconds = cpu * CORE_GB + parts * SECONDS_A_REQUEST * INGEST_GB + row["model_s"] * MODEL_GB
    raw_gb, processed_gb = row["raw_mb"] / 1000, row["processed_mb"] / 1000
    storage = (YEAR * raw_gb + PROCESSED_DAYS * processed_gb) * STORAGE_GB
    requests = (5 * parts + ingests) * PUT + (4 * parts + ingests * parts) * GET
    logs = RUNS * invocations * LOG_BYTES_A_STEP / 1e9 * LOG_GB
    return {
        "Lambda": RUNS * (gb_seconds * GB_SECOND + invocations * INVOCATION),
        "Step Functions": RUNS * steps * TRANSITION,
        "S3": storage + RUNS * requests,
        "CloudWatch": DASHBOARD + ALARMS * ALARM + METRICS * METRIC * RUNS / HOURS + logs,
        "Secrets Manager": SECRETS * SECRET,
        "RDS": HOURS * DATABASE_HOUR[size.database] + size.database_gb * DATABASE_GB,
        "VPC endpoint": HOURS * ENDPOINT_HOUR,
    }


def table(text: str) -> list[str]:
    """Return the lines of the table in Markdown."""
    rows = measured(text)
    months = [month(size, rows[size.cities]) for size in SIZES]
    lines = [
        "| | " + " | ".join(f"{size.cities:,} cities" for size in SIZES) + " |",
        "|---|" + "---:|" * len(SIZES),
    ]
    lines += [f"| {name} | " + " | ".join(f"{costs[name]:.2f}" for costs in months) + " |" for name in months[0]]
    own = [sum(costs.values()) - costs["RDS"] - costs["VPC endpoint"] - 2 * SECRET for costs in months]
    lines.append("| **All, in dollars** | " + " | ".join(f"**{sum(costs.values()):.2f}**" for costs in months) + " |")
    lines.append("| with a Postgres of your own | " + " | ".join(f"{cost:.2f}" for cost in own) + " |")
    return lines


if __name__ == "__main__":
    print("\n".join(table(MEASURED.read_text(encoding="utf-8"))))
    sys.exit(0)
