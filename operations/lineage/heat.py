"""The heat index in Python: the United States weather service's algorithm, with the terms as they are published.

Rothfusz 1990, "The heat index equation", NWS Technical Attachment SR 90-23;
https://www.wpc.ncep.noaa.gov/html/heatindex_equation.shtml. The limits are MetPy's, after Anderson et al. 2013, figure
3 (https://doi.org/10.1289/ehp.1206273). Pure, no I/O.
"""

import numpy as np

from functions.transform.hours import Flags, Floats

# Caution, extreme caution, danger, extreme danger: the weather service's thresholds, in °F.
THRESHOLDS_F = (80, 90, 103, 125)
# The rounding of a double is far below this, and so is the digit after which SQL's exact numbers can differ.
_DECIMALS = 9


def heat_index_f(temperature_c: Floats, humidity: Floats) -> Floats:
    """Return the heat index in °F, to nine decimals, of °C and percent; NaN where one of them is."""
    t, r = 1.8 * temperature_c + 32, humidity
    simple = 0.5 * (t + 61 + (t - 68) * 1.2 + r * 0.094)
    regression = (
        -42.379
        + 2.04901523 * t
        + 10.14333127 * r
        - 0.22475541 * t * r
        - 0.00683783 * t * t
        - 0.05481717 * r * r
        + 0.00122874 * t * t * r
        + 0.00085282 * t * r * r
        - 0.00000199 * t * t * r * r
    )
    dry = (13 - r) / 4 * np.sqrt(np.maximum(17 - np.abs(t - 95), 0) / 17)
    humid = (r - 85) / 10 * (87 - t) / 5
    index = np.where(np.round(simple, _DECIMALS) < 79, simple, regression)
    index = np.where((r < 13) & (t >= 80) & (t <= 112), index - dry, index)
    index = np.where((r > 85) & (t >= 80) & (t <= 87), index + humid, index)
    index = np.where(np.round(t, _DECIMALS) <= 40, t, index)
    known: Floats = np.where(np.isnan(r), np.nan, index)
    return np.round(known, _DECIMALS)


def tenths_of_celsius(index_f: Floats) -> Floats:
    """Return °F as °C, rounded to 0.1 with halves away from zero."""
    celsius = np.round((index_f - 32) / 1.8, _DECIMALS)
    rounded: Floats = np.sign(celsius) * np.floor(np.round(np.abs(celsius) * 10, _DECIMALS) + 0.5) / 10
    return rounded


def at_least(index_f: Floats) -> list[Flags]:
    """Return for each threshold which hours reach it."""
    return [index_f >= threshold for threshold in THRESHOLDS_F]
