"""Weather alerts: the events that the alert rules find, and the message about those that are to be sent."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from functions.core.alert_rules import AlertRule
from functions.core.contracts import AlertNotice
from functions.core.text import excerpt
from functions.model.database import database_errors, execute_file, single_row
from functions.model.migrations import require_schema

# An event is sent while its last day is not longer ago: a backfill records those of thirty years and sends none.
RECENT_DAYS = 7
# The events that a message lists, each with at most 800 bytes; the others are counted.
_LISTED = 50
_UNSENT = "notified_at IS NULL AND last_day >= %(since)s"
# Whoever evaluates, sends or records events waits for the others: the events of all committed loads are seen.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('ikirere alerts'))"


def has_new_rules(cursor: Cursor, rules: Sequence[AlertRule]) -> bool:
    """Return whether the warehouse was evaluated with other rules, or with none."""
    cursor.execute(
        "SELECT coalesce(jsonb_agg(to_jsonb(alert_rule) ORDER BY rule COLLATE \"C\"), '[]') = %s::jsonb "
        "FROM alert_rule",
        (_json(rules),),
    )
    return single_row(cursor) != (True,)


def evaluate_alerts(cursor: Cursor, rules: Sequence[AlertRule], *, everything: bool) -> None:
    """Write the events of the days that the load affects, or of all days, which needs the lock of all cities.

    A load that affects no day has no event to write.
    """
    if everything:
        execute_file(cursor, "09_alert_rules", {"rules": _json(rules)})
    else:
        cursor.execute("SELECT EXISTS (SELECT FROM affected)")
        if single_row(cursor) == (False,):
            return
        execute_file(cursor, "09_alert_days")
    cursor.execute(_LOCK)
    execute_file(cursor, "09_alerts")


def unsent_alerts(cursor: Cursor) -> int:
    """Return the number of events that are to be sent."""
    cursor.execute(f"SELECT count(*) FROM weather_alert WHERE {_UNSENT}", {"since": _since()})  # noqa: S608  # constant
    return int(single_row(cursor)[0])


def describe_alerts(connection: Connection) -> AlertNotice:
    """Return the message about the events that are to be sent. Raises LoadError or TransientError."""
    since = _since()
    with database_errors("weather alerts"), connection, connection.cursor() as cursor:
        require_schema(connection)
        cursor.execute(_LOCK)
        count = unsent_alerts(cursor)
        cursor.execute(
            f"""
            SELECT city, rule, opened_on, last_day, closed_on, days_forecast, value, alert.threshold, unit, meaning
            FROM weather_alert AS alert JOIN dim_city USING (city_id) JOIN alert_rule USING (rule)
            WHERE {_UNSENT}
            ORDER BY opened_on, rule, city_id LIMIT {_LISTED}
            """,  # noqa: S608  # constants of this module
            {"since": since},
        )
        lines = [_line(*row) for row in cursor.fetchall()]
        cursor.execute("SELECT clock_timestamp()")
        (until,) = single_row(cursor)
    more = [f"and {count - len(lines)} more; the table weather_alert has all of them"] if count > len(lines) else []
    title = f"{count} weather alert{'' if count == 1 else 's'}:"
    return AlertNotice(count, "\n".join([title, *lines, *more]), since, until)


def record_alerts(connection: Connection, notice: AlertNotice) -> int:
    """Set ``notified_at`` of the events that a message was about, and return their number.

    Raises LoadError or TransientError.
    """
    with database_errors("weather alerts"), connection, connection.cursor() as cursor:
        require_schema(connection)
        cursor.execute(_LOCK)
        cursor.execute(
            f"UPDATE weather_alert SET notified_at = now() WHERE {_UNSENT} AND found_at <= %(until)s",  # noqa: S608  # constant
            {"since": notice.since, "until": notice.until},
        )
        return cursor.rowcount


def _since() -> date:
    return datetime.now(UTC).date() - timedelta(RECENT_DAYS)


def _line(
    city: str,
    rule: str,
    opened_on: date,
    last_day: date,
    closed_on: date | None,
    days_forecast: int,
    value: Decimal,
    threshold: Decimal,
    unit: str,
    meaning: str,
) -> str:
    end = f"over on {closed_on}" if closed_on else "not over"
    forecast = f", {days_forecast} of these days forecast" if days_forecast else ""
    return (
        f"- {excerpt(city)}: {rule}, {opened_on} to {last_day} ({end}{forecast}): "
        f"{_number(value)} {unit}, threshold {_number(threshold)} {unit}. {excerpt(meaning)}"
    )


def _number(value: Decimal) -> str:
    return f"{round(value, 1).normalize():f}"


def _json(rules: Sequence[AlertRule]) -> str:
    rows: list[dict[str, Any]] = [rule.to_json() for rule in rules]
    return json.dumps(rows)
