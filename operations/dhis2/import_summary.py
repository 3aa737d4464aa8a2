"""What DHIS2 says about an import: its counts, and each conflict with the city, measure and period that it is about.

Versions up to 2.37 return the import summary itself, later ones a web message that has it as ``response``
(https://docs.dhis2.org/en/develop/using-the-api/dhis-core-version-master/data.html). A conflict of the later ones has
the ``indexes`` of the values in the request; an earlier one only names an object by its UID.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from functions.core.text import excerpt
from operations.dhis2.values import DataValue

# What of a value a conflict about this property is about: the other parts of the value are as good as any.
_PARTS: dict[str, tuple[str, ...]] = {
    "orgUnit": ("cities",),
    "dataElement": ("measures",),
    "categoryOptionCombo": ("measures",),
    "attributeOptionCombo": ("measures",),
    "period": ("periods",),
}
_ALL_PARTS = ("cities", "measures", "periods")
_REASON_LENGTH = 200
# A zero may be passed over in silence, no other value.
_NOT_COUNTED = "DHIS2's summary does not count them"
# Conflicts of different texts that are kept; DHIS2 has a text for each period that it refuses.
MAX_CONFLICTS = 1000

Json = dict[str, Any]


@dataclass(slots=True)
class Conflict:
    """What DHIS2 does not accept, and of what: the names of this project, each once, in the order of the values.

    ``values`` is the number of values that it is about, or that have the object that it names.
    """

    reason: str
    cities: dict[str, None] = field(default_factory=dict)
    measures: dict[str, None] = field(default_factory=dict)
    periods: dict[str, None] = field(default_factory=dict)
    values: int = 0


@dataclass(slots=True)
class ImportSummary:
    """The counts of one or more requests, and their conflicts by reason.

    ``ignored`` has the refused values and, from DHIS2 2.41 on, those that are there already (earlier versions count
    them as updated). ``not_counted`` are values that DHIS2 passes over in silence: zeros of a data element that does
    not store zeros.
    """

    values: int = 0
    imported: int = 0
    updated: int = 0
    ignored: int = 0
    deleted: int = 0
    not_counted: int = 0
    refused: int = 0
    conflicts: dict[str, Conflict] = field(default_factory=dict)
    conflicts_not_listed: int = 0

    @property
    def is_accepted(self) -> bool:
        """Whether DHIS2 refused nothing."""
        return not (self.refused or self.conflicts)

    def add(self, document: Json, batch: Sequence[DataValue], said: Callable[[object], str]) -> None:
        """Add the summary of one request. ``said`` is the excerpt of a text of the server."""
        counts = document["importCount"]
        count = {name: _whole(counts.get(name)) for name in ("imported", "updated", "ignored", "deleted")}
        for name, number in count.items():
            setattr(self, name, getattr(self, name) + number)
        self.values += len(batch)
        entries = _dicts(document.get("conflicts"))
        named = _Named(batch)
        for entry in entries:
            self._add_conflict(entry, batch, named, said)
        refused = self._refused(document, batch, count, len(entries))
        self.refused += refused
        changed = count["imported"] + count["updated"] + count["deleted"]
        missing = max(0, len(batch) - changed - max(count["ignored"], refused))
        zeros = min(missing, sum(value.value == "0" for value in batch))
        self.not_counted += zeros
        if missing > zeros and not entries:
            self._conflict(_NOT_COUNTED).values += missing - zeros
        status = document.get("status")
        if status in ("ERROR", "WARNING") and not entries and (status == "ERROR" or not refused):
            self._conflict(said(document.get("description") or status))

    @staticmethod
    def _refused(document: Json, batch: Sequence[DataValue], count: dict[str, int], conflicts: int) -> int:
        """Return the number of refused values of a request."""
        if rejected := set(_indexes(document.get("rejectedIndexes"), batch)):
            return len(rejected)
        changed = count["imported"] + count["updated"] + count["deleted"]
        if not changed and (document.get("status") == "ERROR" or (conflicts and not count["ignored"])):
            # the request as a whole: its data set is unknown, for example
            return len(batch)
        if "rejectedIndexes" in document:
            return 0
        # earlier versions ignore nothing else
        return count["ignored"] if conflicts else 0

    def _add_conflict(
        self, entry: Json, batch: Sequence[DataValue], named: "_Named", said: Callable[[object], str]
    ) -> None:
        parts = _PARTS.get(str(entry.get("property")), ())
        indexes: Sequence[int] = _indexes(entry.get("indexes"), batch)
        if not indexes:
            found, indexes = named.find(entry.get("object"))
            parts = parts or found
        code = f" ({said(entry['errorCode'])})" if entry.get("errorCode") else ""
        reason = said(entry.get("value") or entry.get("object") or "no reason given")
        conflict = self._conflict(f"{excerpt(reason, _REASON_LENGTH)}{code}")
        for index in indexes:
            value = batch[index]
            names = {"cities": value.city_id, "measures": value.measure, "periods": value.period}
            for part in parts or _ALL_PARTS:
                getattr(conflict, part)[names[part]] = None
        conflict.values += len(indexes)

    def _conflict(self, reason: str) -> Conflict:
        """The conflict with this reason, a new one if there is none."""
        made = self.conflicts.get(reason) or Conflict(reason)
        if reason in self.conflicts or len(self.conflicts) < MAX_CONFLICTS:
            self.conflicts[reason] = made
        else:
            self.conflicts_not_listed += 1
        return made


class _Named:
    """The values of a request by the UIDs and periods in them, for conflicts that have only those."""

    def __init__(self, batch: Sequence[DataValue]) -> None:
        self._batch = batch
        self._places: dict[str, tuple[tuple[str, ...], list[int]]] | None = None

    def find(self, named: object) -> tuple[tuple[str, ...], Sequence[int]]:
        """Return the part of a value that this is, and the indexes of the values that have it."""
        if self._places is None:
            self._places = {}
            for index, value in enumerate(self._batch):
                for key, name in value.document().items():
                    if key != "value":
                        self._places.setdefault(name, (_PARTS[key], []))[1].append(index)
        return self._places.get(named, ((), ())) if isinstance(named, str) else ((), ())


def summary_of(document: object) -> Json | None:
    """Return the import summary in a response, None if it has none."""
    for found in (document.get("response"), document) if isinstance(document, dict) else ():
        if isinstance(found, dict) and isinstance(found.get("importCount"), dict):
            return found
    return None


def _indexes(found: object, batch: Sequence[DataValue]) -> list[int]:
    listed = found if isinstance(found, list) else ()
    return [index for index in listed if type(index) is int and 0 <= index < len(batch)]


def _dicts(found: object) -> list[Json]:
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _whole(found: object) -> int:
    return found if type(found) is int and found >= 0 else 0
