"""What is stored of a backfill: its plan, how each item ended, and the sum of both."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from functions.backfill.planner import SOURCE, Json, Window, WorkItem, item_number
from functions.core.contracts import CityFailure, cause_message
from functions.core.errors import InvalidInputError, missing_or_wrong
from functions.core.text import excerpt
from functions.core.variables import variables_of

_CAUSE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """A stored plan. ``cities`` is the digest of the cities' ids: a resumed backfill must have the same ones."""

    backfill_id: str
    created_at: datetime
    start: date
    end: date
    cities: str
    gaps: bool
    items: int
    hours: int
    requests: int

    @classmethod
    def of(
        cls,
        backfill_id: str,
        window: Window,
        cities: Iterable[str],
        items: Sequence[WorkItem],
        *,
        gaps: bool,
        now: datetime,
    ) -> "Plan":
        """Return the plan of these items, which are for ``cities`` in ``window``, or with ``gaps`` for parts of it."""
        variables = len(variables_of(SOURCE))
        return cls(
            backfill_id=backfill_id,
            created_at=now,
            start=window[0],
            end=window[1],
            cities=digest_of(cities),
            gaps=gaps,
            items=len(items),
            hours=sum(item.hours for item in items),
            requests=sum(len(item.requests(variables)) for item in items),
        )

    def to_json(self) -> Json:
        dates = {"created_at": self.created_at.isoformat(), "start": str(self.start), "end": str(self.end)}
        return {**asdict(self), **dates}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        """Raises InvalidInputError with the name of the missing field."""
        try:
            dates = {name: date.fromisoformat(data[name]) for name in ("start", "end")}
            return cls(**{**data, **dates, "created_at": datetime.fromisoformat(data["created_at"])})
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"backfill: {missing_or_wrong(error)}; expected a stored plan: restore its plan.json, or choose "
                "another backfill_id"
            ) from error


def digest_of(cities: Iterable[str]) -> str:
    """Return the digest of a set of city ids."""
    return hashlib.sha256("\n".join(sorted(cities)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ItemResult:
    """How the run of an item ended the last time."""

    item: int
    run_id: str
    status: Literal["succeeded", "partial", "failed"]
    rows_in: int = 0
    rows_loaded: int = 0
    rows_unchanged: int = 0
    rows_rejected: int = 0
    failed_cities: tuple[CityFailure, ...] = field(default=())
    error: str = ""
    cause: str = ""

    def to_json(self) -> Json:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ItemResult":
        """Raises InvalidInputError with the name of the missing field."""
        try:
            return cls(**{**data, "failed_cities": tuple(CityFailure(**each) for each in data["failed_cities"])})
        except (KeyError, TypeError) as error:
            raise InvalidInputError(
                f"backfill: {missing_or_wrong(error)}; expected an item's result: delete that object, the item "
                "runs again"
            ) from error

    @classmethod
    def of_run(cls, run_id: str, loaded: Mapping[str, Any]) -> "ItemResult":
        """Return the result of a run that was loaded: ``loaded`` is the output of the pipeline's execution."""
        counts = {name: loaded[name] for name in ("rows_in", "rows_loaded", "rows_unchanged", "rows_rejected")}
        failed = tuple(CityFailure(**each) for each in loaded.get("failed_cities", ()))
        return cls(item_number(run_id), run_id, loaded["status"], failed_cities=failed, **counts)

    @classmethod
    def of_error(cls, run_id: str, error: Mapping[str, Any]) -> "ItemResult":
        """Return the result of a run that failed, from what the state machine caught.

        A failed execution's own error is in the cause, a JSON description of the execution.
        """
        name, cause = str(error.get("Error", "")), str(error.get("Cause", ""))
        try:
            described = json.loads(cause)
            name, cause = str(described["Error"]), str(described.get("Cause", ""))
        except (ValueError, KeyError, TypeError):
            pass
        return cls(
            item_number(run_id),
            run_id,
            "failed",
            error=excerpt(name),
            cause=excerpt(cause_message(cause), _CAUSE_LENGTH),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """How far a backfill is: its items by how they ended, its rows, and the cities that were not loaded."""

    backfill_id: str
    status: Literal["succeeded", "partial", "failed", "unfinished"]
    items: int
    succeeded: int
    partial: int
    failed: int
    rows_in: int
    rows_loaded: int
    rows_unchanged: int
    rows_rejected: int

    @classmethod
    def of(cls, plan: Plan, results: Iterable[ItemResult]) -> "Summary":
        results = list(results)
        count = {status: sum(r.status == status for r in results) for status in ("succeeded", "partial", "failed")}
        if len(results) < plan.items:
            status = "unfinished"
        else:
            status = "failed" if count["failed"] else "partial" if count["partial"] else "succeeded"
        return cls(
            backfill_id=plan.backfill_id,
            status=status,  # type: ignore[arg-type]  # of the four
            items=plan.items,
            **count,
            rows_in=sum(r.rows_in for r in results),
            rows_loaded=sum(r.rows_loaded for r in results),
            rows_unchanged=sum(r.rows_unchanged for r in results),
            rows_rejected=sum(r.rows_rejected for r in results),
        )

    def to_json(self) -> Json:
        return asdict(self)

    @property
    def done(self) -> int:
        """The items whose run was loaded."""
        return self.succeeded + self.partial
