"""Names of cities on charts."""

import html
from collections.abc import Iterable

# Charts cut longer city names: on a phone they would leave no room for the chart.
_LABEL_LENGTH = 24


def chart_label(city: str, city_id: str, taken: Iterable[str]) -> str:
    """Return a short name that is not in ``taken``, escaped because Plotly interprets HTML."""
    short = city if len(city) <= _LABEL_LENGTH else f"{city[: _LABEL_LENGTH - 1]}\u2026"
    label = html.escape(short, quote=False)
    return label if label not in taken else f"{label} ({html.escape(city_id[:_LABEL_LENGTH], quote=False)})"
