"""The colour of each weather condition in the report's grid."""

# Each is light or dark enough for the text that Plotly writes on it: a test computes the contrast.
CONDITION_COLOURS = {
    "Clear sky": "#fff1a8",
    "Mainly clear": "#f6eecb",
    "Partly cloudy": "#dde0e3",
    "Overcast": "#b4b9be",
    "Fog": "#d2c9dd",
    "Depositing rime fog": "#bdb2cf",
    "Light drizzle": "#dbeafe",
    "Moderate drizzle": "#c0d9f8",
    "Dense drizzle": "#a6c8f2",
    "Light freezing drizzle": "#bfebe4",
    "Dense freezing drizzle": "#8ad6ca",
    "Slight rain": "#8ebcf0",
    "Moderate rain": "#2b6cb0",
    "Heavy rain": "#173f75",
    "Light freezing rain": "#0f766e",
    "Heavy freezing rain": "#124a47",
    "Slight snow fall": "#e9eafd",
    "Moderate snow fall": "#c9cbf6",
    "Heavy snow fall": "#5d58bd",
    "Snow grains": "#dcd9f0",
    "Slight rain showers": "#8acbea",
    "Moderate rain showers": "#0d6f9f",
    "Violent rain showers": "#0b3a57",
    "Slight snow showers": "#b5b8f0",
    "Heavy snow showers": "#4337a5",
    "Thunderstorm": "#6a2277",
    "Thunderstorm with hail": "#94196e",
    "Thunderstorm with heavy hail": "#470c3d",
}


def condition_index(condition: str | None) -> int | None:
    """Return the condition's position in the colour scale, None for an unknown one."""
    return _INDEX.get(condition or "")


def condition_scale() -> list[tuple[float, str]]:
    """Return a Plotly colour scale with one step for each condition, for values from -0.5 to their number - 0.5."""
    colours = list(CONDITION_COLOURS.values())
    return [(edge / len(colours), colour) for n, colour in enumerate(colours) for edge in (n, n + 1)]


_INDEX = {condition: index for index, condition in enumerate(CONDITION_COLOURS)}
