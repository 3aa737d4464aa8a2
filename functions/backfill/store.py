"""A backfill in the raw bucket: its plan, its work items, the items of each attempt, and the results."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from functions.backfill.planner import Json, WorkItem, item_number, run_id_of_item
from functions.backfill.records import ItemResult, Plan
from functions.core.storage import ObjectStore, backfill_prefix

_READS_AT_ONCE = 8


class BackfillStore:
    """The backfills of a raw bucket."""

    def __init__(self, objects: ObjectStore) -> None:
        self.bucket = objects.bucket
        self._objects = objects

    def put_plan(self, plan: Plan, items: Sequence[WorkItem]) -> Plan:
        """Store a plan and its items if there is no plan of this id; return the plan that is stored."""
        run_date = plan.created_at.date()
        lines = "".join(
            f"{json.dumps(item.event(run_id_of_item(plan.backfill_id, number), run_date))}\n"
            for number, item in enumerate(items, 1)
        )
        # the plan last: where it is, the items are
        self._objects.write_if(self._key(plan.backfill_id, "items.jsonl"), lines.encode(), None)
        self._objects.write_if(self._key(plan.backfill_id, "plan.json"), _json(plan.to_json()), None)
        return self.plan(plan.backfill_id) or plan

    def plan(self, backfill_id: str) -> Plan | None:
        """Return the plan of a backfill, or None."""
        stored = self._objects.read(self._key(backfill_id, "plan.json"))
        return Plan.from_json(json.loads(stored[0])) if stored else None

    def items(self, backfill_id: str) -> list[Json]:
        """Return the pipeline events of a backfill's items, in their order."""
        stored = self._objects.read(self._key(backfill_id, "items.jsonl"))
        return [json.loads(line) for line in stored[0].splitlines()] if stored else []

    def put_attempt(self, backfill_id: str, attempt: str, items: Iterable[Json]) -> str:
        """Store the items of an attempt as a JSON array; its key.

        Not JSON lines: LocalStack's Map reads JSON and CSV only.
        """
        key = self._key(backfill_id, f"attempts/{attempt}.json")
        self._objects.write(key, _json(list(items)))
        return key

    def put_result(self, backfill_id: str, result: ItemResult) -> None:
        """Store how an item ended, instead of how it ended before."""
        self._objects.write(self._key(backfill_id, f"results/{result.run_id}.json"), _json(result.to_json()))

    def backfill_ids(self) -> list[str]:
        """Return the ids of all backfills."""
        return [folder.removeprefix(backfill_prefix()) for folder in self._objects.folders(backfill_prefix())]

    def results(self, backfill_id: str) -> "Results":
        return Results(self._objects, self._key(backfill_id, "results/"))

    @staticmethod
    def _key(backfill_id: str, name: str) -> str:
        return f"{backfill_prefix()}{backfill_id}/{name}"


class Results:
    """The results of a backfill's items; only those that have changed are read again."""

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self._objects, self._prefix = objects, prefix
        self._versions: dict[str, str] = {}
        self._results: dict[int, ItemResult] = {}

    def read(self) -> list[ItemResult]:
        """Return the results so far, by item."""
        versions = self._objects.versions(self._prefix)
        changed = [key for key, version in versions.items() if self._versions.get(key) != version]
        # one after the other, the 10,000 results of the largest backfill would take half of the function's time
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            for key, stored in zip(changed, pool.map(self._objects.read, changed), strict=True):
                if stored:
                    result = ItemResult.from_json(json.loads(stored[0]))
                    self._versions[key], self._results[result.item] = versions[key], result
        return [self._results[item] for item in sorted(self._results)]


def remaining(items: Iterable[Json], results: Iterable[ItemResult]) -> list[Json]:
    """Return the items that have not run, or whose run failed."""
    done = {result.item for result in results if result.status != "failed"}
    return [item for item in items if item_number(item["run_id"]) not in done]


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
