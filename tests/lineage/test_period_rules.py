"""The rules of weeks and months in Python that no comparison with the warehouse shows for certain."""

from datetime import date, timedelta
from decimal import Decimal, localcontext

from operations.lineage import periods


def test_a_mean_of_thirds_meets_the_threshold_that_it_is_equal_to():
    with localcontext() as context:
        context.prec = 40
        means = [Decimal(179) / 3] * 15 + [Decimal(181) / 3] * 15
    measures = dict.fromkeys(
        ("avg_temperature_c", "min_temperature_c", "max_temperature_c", "temperature_range_c", "min_humidity",
         "max_humidity", "precipitation_mm", "max_wind_speed_kmh", "max_uv_index", "max_heat_index_c")
    )  # fmt: skip
    counts = {"hours_observed": 3, "hours_expected": 24, "hours_forecast": 0}
    days = {
        date(2026, 11, 1) + timedelta(n): {**measures, **counts, "avg_humidity": mean} for n, mean in enumerate(means)
    }
    row = periods.monthly_rows("There", days)["202611"]
    assert row["is_humidity_suitable"] is True
    assert row["avg_humidity"] < 60
