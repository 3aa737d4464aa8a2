"""The reasons for which an hour is rejected, and the quality rule of each.

Every other reason is about a value: that of a variable which is impossible or cannot be read.
"""

SEPARATOR = "; "
UNREADABLE_TIME = "time cannot be read"
NOT_ON_THE_HOUR = "time is not on the hour"
OUTSIDE_THE_WINDOW = "hour outside the window"
DUPLICATE_HOUR = "duplicate hour"

_RULES = {
    UNREADABLE_TIME: "wrong_time",
    NOT_ON_THE_HOUR: "wrong_time",
    OUTSIDE_THE_WINDOW: "wrong_time",
    DUPLICATE_HOUR: "duplicate_hour",
}


def rule_of(reasons: str) -> str:
    """Return the rule of a rejected hour from its joined reasons. A wrong value counts before a wrong time."""
    rules = {_RULES.get(reason, "impossible_value") for reason in reasons.split(SEPARATOR)}
    return next(name for name in ("impossible_value", "wrong_time", "duplicate_hour") if name in rules)
