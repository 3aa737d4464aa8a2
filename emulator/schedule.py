"""When the schedule fires: the forms of EventBridge Scheduler, checked before anything is deployed.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import re
from datetime import datetime

from deployment.errors import UserError
from functions.core.text import quoted

OFF = "off"
_RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9]\d+) (minutes|hours|days))\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
_CRON_FIELD = re.compile(r"[0-9,*/?LW#A-Z-]{1,200}")
# The largest number of each field: minutes, hours, day of month, month, day of week, year.
_CRON_MAX = (59, 23, 31, 12, 7, 2199)


def check(schedule: str) -> None:
    """Raises UserError for a text that is neither a schedule nor ``off``."""
    if schedule != OFF and not _is_expression(schedule):
        raise UserError(f'--schedule {quoted(schedule)}: is none of "rate(1 minute)", "cron(0 4 * * ? *)", off')


def _is_expression(text: str) -> bool:
    if _RATE.fullmatch(text):
        return True
    if cron := _CRON.fullmatch(text):
        return all(
            _CRON_FIELD.fullmatch(field) and all(int(number) <= largest for number in re.findall(r"\d+", field))
            for field, largest in zip(cron.groups(), _CRON_MAX, strict=True)
        )
    try:
        datetime.strptime(text, "at(%Y-%m-%dT%H:%M:%S)")  # noqa: DTZ007  # UTC, as every schedule
    except ValueError:
        return False
    return True
