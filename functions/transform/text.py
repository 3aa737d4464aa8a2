"""The CSV text of accepted hours: byte tables of each column, joined by numpy."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from functions.core.contracts import PROCESSED_COLUMNS
from functions.core.variables import VARIABLES
from functions.core.wmo import CONDITIONS
from functions.transform.hours import POSITIONS, Floats, Hours, Integers

Texts = npt.NDArray[np.bytes_]

# The rows that are text at the same time: they fit into a processor's cache.
_ROWS = 1 << 13
# Weather values have at most four decimals. A table has one text for each number between the least and the greatest.
_SCALES = (10, 100, 10_000)
_LARGEST_TABLE = 1 << 20


def csv_lines(hours: Hours, cities: Sequence[str], start: date) -> Iterator[bytes | bytearray]:
    """Yield a processed object in pieces: its header, then its rows; the window begins on the UTC day ``start``.

    No field needs quotes: city ids and conditions have neither commas nor quotes.
    """
    yield f"{','.join(PROCESSED_COLUMNS)}\n".encode()
    times = _times(start, int(hours.hour.max(initial=0)) // 24 + 1)
    columns = [(_table(cities, ","), hours.city), (times, hours.hour)]
    for name, values in zip(VARIABLES, hours.values, strict=True):
        texts, index = number_texts(values)
        if name == "weather_code":
            texts = _table([f"{code},{CONDITIONS[int(code)] if code else ''}" for code in texts.astype(str)])
        separator = b"\n" if POSITIONS[name] == len(VARIABLES) - 1 else b","
        columns.append((np.strings.add(texts, separator), index))
    record = np.dtype([(str(number), texts.dtype) for number, (texts, _) in enumerate(columns)])
    for begin in range(0, len(hours), _ROWS):
        text = bytearray(record.itemsize * min(_ROWS, len(hours) - begin))
        rows = np.frombuffer(text, record)
        for number, (texts, index) in enumerate(columns):
            rows[str(number)] = texts.take(index[begin : begin + _ROWS])
        # a text that is shorter than its column ends with NULs
        yield text.translate(None, b"\0")


def _times(start: date, days: int) -> Texts:
    """Return the text of each hour of the days, with a comma."""
    parts = np.empty((days, 24), dtype=[("day", "S10"), ("hour", "S11")])
    parts["day"] = np.array([(start + timedelta(days=day)).isoformat() for day in range(days)], dtype="S10")[:, None]
    parts["hour"] = [f"T{hour:02d}:00:00Z," for hour in range(24)]
    return parts.reshape(-1).view("S21")


def number_texts(values: Floats) -> tuple[Texts, Integers]:
    """Return a table of texts, and for each value the index of its shortest decimal form: 15.2, and 90 for 90.0.

    The text of NaN is empty, that of -0.0 is -0, and no text has an exponent. Many values are equal, so few texts are
    made.
    """
    is_null = np.isnan(values)
    numbers = np.where(is_null, 0.0, values)
    least, greatest = numbers.min(initial=0.0), numbers.max(initial=0.0)
    for scale in _SCALES:
        if not greatest - least < _LARGEST_TABLE / scale:
            break
        scaled = np.rint(numbers * scale)
        # a quotient of two exact integers is the double that is nearest to the decimal number
        if (scaled / scale == numbers).all():
            offset = round(float(least) * scale)
            index = scaled.astype(np.intp) - offset
            size = int(index.max(initial=0)) + 1
            index[np.signbit(numbers) & (numbers == 0)] = size
            index[is_null] = size + 1
            return _decimal_table(index, size, offset, scale), index
    distinct, index = np.unique(numbers.view(np.int64), return_inverse=True)
    texts = [np.format_float_positional(number, trim="-") for number in distinct.view(np.float64)]
    index[is_null] = len(texts)
    return _table([*texts, ""]), index


def _decimal_table(index: Integers, size: int, offset: int, scale: int) -> Texts:
    """Return the texts of the numbers ``(i + offset) / scale`` at the indices that occur, then -0 and an empty text."""
    occurs = np.zeros(size + 2, dtype=bool)
    occurs[index] = True
    indices = np.flatnonzero(occurs[:size])
    texts = [repr(number).removesuffix(".0") for number in ((indices + offset) / scale).tolist()]
    table = np.zeros(size + 2, dtype=f"S{max(map(len, ('-0', *texts)))}")
    table[indices] = texts
    table[size] = "-0"
    return table


def _table(texts: Sequence[str], end: str = "") -> Texts:
    return np.array([f"{text}{end}".encode() for text in texts], dtype=np.bytes_)
