"""The heat index of the warehouse against MetPy, for all pairs of 0.1 °C and whole percent that an hour can have.

MetPy is in no requirement of the project.
"""

from decimal import Decimal

import pytest
from loads import rows_of

from functions.model.migrations import migrate

calc = pytest.importorskip("metpy.calc")
np = pytest.importorskip("numpy")


def test_the_heat_index_of_each_possible_hour_is_that_of_metpy(database_url):
    from metpy.units import units

    migrate({"dsn": database_url})
    rows = rows_of(
        database_url,
        "SELECT t / 10.0, h, (heat_index_f - 32) / 1.8, round((heat_index_f - 32) / 1.8, 1) "
        "FROM generate_series(-950, 650) AS t CROSS JOIN generate_series(0, 100) AS h "
        "CROSS JOIN LATERAL heat_index_f(t / 10.0, h) AS heat_index_f",
    )
    temperature, humidity, found, rounded = zip(*rows, strict=True)
    expected = calc.heat_index(
        np.array(temperature, dtype=float) * units.degC, np.array(humidity, dtype=float) * units.percent, False
    )
    values = expected.to("degC").magnitude
    assert len(values) == 1601 * 101
    assert np.abs(values - np.array(found, dtype=float)).max() < 1e-9
    assert np.abs(values - np.array(rounded, dtype=float)).max() <= 0.05 + 1e-9
    assert all(value == round(value, 1) for value in rounded)
    assert rounded[0] == Decimal("-95.0")
