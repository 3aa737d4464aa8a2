"""The values of an export: the mapped measures of the mapped cities' periods, read from the marts as a stream."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class that psycopg2 names in lower case

from deployment.errors import UserError
from functions.core.dictionary import tables
from operations.dhis2.mapping import DataMapping, PeriodType

# For each period type the mart of its measures, and the one of its anomalies.
_MARTS: dict[PeriodType, tuple[str, str]] = {
    "weekly": ("mart_weekly_city_weather", "mart_weekly_city_anomaly"),
    "monthly": ("mart_monthly_city_weather", "mart_monthly_city_anomaly"),
}
# Columns that say which row it is, not what the weather was.
_NO_MEASURES = ("iso_year", "iso_week", "year", "month", "start_date", "end_date", "base_start", "base_end")
_MEASURES = """
    SELECT attribute.attname
    FROM pg_attribute AS attribute
    WHERE attribute.attrelid = to_regclass(%(mart)s)
        AND attribute.attnum > 0
        AND NOT attribute.attisdropped
        AND attribute.atttypid = ANY ('{numeric,smallint,integer,bigint,boolean,date}'::regtype[])
        AND attribute.attname <> ALL (%(no_measures)s)
    ORDER BY attribute.attnum
"""
_WANTED = """
    mart.city_id = ANY (%(cities)s)
    AND (mart.is_complete OR %(with_incomplete)s)
    AND (%(start)s::date IS NULL OR mart.start_date >= %(start)s)
    AND (%(end)s::date IS NULL OR mart.start_date <= %(end)s)
"""
_ROWS = """
    SELECT mart.city_id, mart.period, {columns}
    FROM {mart} AS mart {anomalies}
    WHERE {wanted}
        AND (
            %(last)s::integer IS NULL
            OR mart.start_date IN (
                SELECT DISTINCT mart.start_date FROM {mart} AS mart WHERE {wanted}
                ORDER BY mart.start_date DESC LIMIT %(last)s
            )
        )
    ORDER BY mart.start_date, mart.city_id
"""
_ANOMALIES = """
    LEFT JOIN {anomalies} AS anomaly
        ON anomaly.city_id = mart.city_id AND anomaly.period = mart.period AND anomaly.city_id = ANY (%(cities)s)
"""
# A mean has up to twenty decimals; the weather itself is given with one.
_DECIMALS = 2
# Rows that are in memory at a time.
_ROWS_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which periods: those that begin from ``start`` to ``end``, of these the ``last`` newest; None is no limit.

    Only complete periods: those without a missing or a forecast hour, unless ``with_incomplete``.
    """

    start: date | None = None
    end: date | None = None
    last: int | None = None
    with_incomplete: bool = False


@dataclass(frozen=True, slots=True)
class DataValue:
    """A value of a city, measure and period, as text in DHIS2's form, and its place in DHIS2 (UIDs)."""

    city_id: str
    measure: str
    period: str
    value: str
    org_unit: str
    data_element: str
    category_option_combo: str | None
    attribute_option_combo: str | None

    def document(self) -> dict[str, str]:
        """The value as an element of a data value set."""
        made = {
            "dataElement": self.data_element,
            "period": self.period,
            "orgUnit": self.org_unit,
            "value": self.value,
        }
        if self.category_option_combo:
            made["categoryOptionCombo"] = self.category_option_combo
        if self.attribute_option_combo:
            made["attributeOptionCombo"] = self.attribute_option_combo
        return made


def measures(connection: Connection, period_type: PeriodType) -> dict[str, str]:
    """Return the measures that can be mapped, with their descriptions. Raises UserError if there is no such mart."""
    found: dict[str, str] = {}
    for mart in _MARTS[period_type]:
        meanings = tables()[mart].columns
        for measure in _columns(connection, mart):
            found.setdefault(measure, meanings[measure].comment if measure in meanings else "")
    if not found:
        raise UserError(
            f"the warehouse has no {_MARTS[period_type][0]}: it is of an earlier version; `ikirere up` migrates it"
        )
    return found


def stream(connection: Connection, mapping: DataMapping, selection: Selection) -> Iterator[DataValue]:
    """Yield the values, the oldest period first; a null is no value. Raises psycopg2.Error."""
    mart, anomalies = _MARTS[mapping.period_type]
    of_mart = _columns(connection, mart)
    names = list(mapping.data_elements)
    columns = [sql.Identifier("mart" if name in of_mart else "anomaly", name) for name in names]
    # the cities again: what the view computes of others would be thrown away
    join = sql.SQL(_ANOMALIES).format(anomalies=sql.Identifier(anomalies))
    statement = sql.SQL(_ROWS).format(
        columns=sql.SQL(", ").join(columns),
        mart=sql.Identifier(mart),
        anomalies=join if any(name not in of_mart for name in names) else sql.SQL(""),
        wanted=sql.SQL(_WANTED),
    )
    parameters = {
        "cities": list(mapping.org_units),
        "start": selection.start,
        "end": selection.end,
        "last": selection.last,
        "with_incomplete": selection.with_incomplete,
    }
    with connection.cursor(name="dhis2_values") as cursor:
        cursor.itersize = _ROWS_AT_A_TIME
        cursor.execute(statement, parameters)
        for city_id, period, *row in cursor:
            for measure, value in zip(names, row, strict=True):
                if value is not None:
                    element = mapping.data_elements[measure]
                    yield DataValue(
                        city_id,
                        measure,
                        period,
                        text(value),
                        mapping.org_units[city_id],
                        element.uid,
                        element.category_option_combo,
                        element.attribute_option_combo,
                    )


def batches(values: Iterator[DataValue], size: int) -> Iterator[list[DataValue]]:
    """Yield the values in lists of at most ``size``."""
    while batch := list(itertools.islice(values, size)):
        yield batch


def text(value: bool | int | Decimal | date) -> str:
    """Return a value in DHIS2's form: a number with up to two decimals and no exponent, true or false, YYYY-MM-DD.

    DHIS2 compares texts: of one value there must be one text only, or a second post would change it.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return value.isoformat()
    rounded = round(Decimal(value), _DECIMALS)
    # a zero may have a sign
    return f"{rounded.normalize():f}" if rounded else "0"


def _columns(connection: Connection, mart: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_MEASURES, {"mart": mart, "no_measures": list(_NO_MEASURES)})
        return [name for (name,) in cursor.fetchall()]
