"""Bring a Metabase server to what this folder says: ``python -m metabase.provision``.

Running it again changes nothing; a change here is applied; a question removed here is archived. What it did not
make it leaves alone: its own things carry a mark in their description. The calls are those of Metabase 0.58 and later
(https://www.metabase.com/docs/latest/api), for its free edition, which has no serialization.
"""

import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from metabase.client import Metabase, MetabaseError
from metabase.dashboards import DASHBOARDS, FILTERS, Card, Dashboard
from metabase.questions import Question, load_question

Json = dict[str, Any]

COLLECTION = "Ikirere"
DATABASE = "Ikirere warehouse"
_WAIT_SECONDS = 300
_MARK = re.compile(r"\[ikirere:([\w -]+)\]$")
_TAGS = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where Metabase is, who signs in (made when the server is new), and the address of the role that reads."""

    url: str
    email: str
    password: str
    warehouse: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises MetabaseError naming the variables that are not set."""
        names = ("METABASE_URL", "METABASE_EMAIL", "METABASE_PASSWORD", "METABASE_WAREHOUSE_URL")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise MetabaseError(
                f"environment: {', '.join(missing)} not set; METABASE_WAREHOUSE_URL is metabase_reader's"
            )
        return cls(*(environment[name] for name in names))


def provision(
    settings: Settings, dashboards: tuple[Dashboard, ...] = DASHBOARDS, load: Callable[[str], Question] = load_question
) -> list[str]:
    """Make, change and archive what is needed; the write requests that took. Raises MetabaseError."""
    server = Metabase(settings.url)
    _set_up(server, settings)
    database = _database(server, settings.warehouse)
    fields = _fields(server, database)
    collection = _collection(server)
    items = _ours(server.get(f"/api/collection/{collection}/items?models=card&models=dashboard")["data"])
    questions = {card.question: load(card.question) for dashboard in dashboards for card in dashboard.cards}
    cards = {
        card.question: _upsert(
            server, "card", card.question, _card(questions[card.question], card, database, collection, fields), items
        )
        for dashboard in dashboards
        for card in dashboard.cards
    }
    for dashboard in dashboards:
        _dashboard(server, dashboard, collection, cards, questions, items)
    kept = {("card", name) for name in cards} | {("dashboard", dashboard.name) for dashboard in dashboards}
    for item in items:
        if (item["model"], _mark(item)) not in kept:
            server.put(f"/api/{item['model']}/{item['id']}", {"archived": True})
    return server.writes


def _set_up(server: Metabase, settings: Settings) -> None:
    properties = server.wait(_WAIT_SECONDS)
    token = properties.get("setup-token")
    if token and not properties.get("has-user-setup"):
        user = {"first_name": "Ikirere", "last_name": "Admin", "email": settings.email, "password": settings.password}
        prefs = {"site_name": "Ikirere", "site_locale": "en"}
        server.post("/api/setup", {"token": token, "user": user, "prefs": prefs})
    server.sign_in(settings.email, settings.password)


def _database(server: Metabase, warehouse: str) -> int:
    parts = urlsplit(warehouse)
    details: Json = {
        "host": parts.hostname,
        "port": parts.port or 5432,
        "dbname": parts.path.lstrip("/"),
        "user": unquote(parts.username or ""),
    }
    mode = dict(parse_qsl(parts.query)).get("sslmode", "")
    secret = {"password": unquote(parts.password or ""), "ssl": mode in ("require", "verify-ca", "verify-full")}
    wanted = {"name": DATABASE, "engine": "postgres"}
    for found in server.get("/api/database")["data"]:
        theirs = found.get("details") or {}
        # of that name and with our role it is ours; another's of the same name is left alone
        if all(found[key] == value for key, value in wanted.items()) and theirs.get("user") == details["user"]:
            moved = any(theirs.get(key) != value for key, value in details.items())
            # the password is never shown: a new one is seen by the old one failing
            if moved or bool(theirs.get("ssl")) != secret["ssl"] or not _connects(server, found["id"]):
                server.put(f"/api/database/{found['id']}", {**wanted, "details": details | secret})
            return int(found["id"])
    made = server.post(
        "/api/database",
        {
            **wanted,
            "details": details | secret,
            "is_full_sync": True,
            "is_on_demand": False,
            "auto_run_queries": True,
        },
    )
    return int(made["id"])


def _connects(server: Metabase, database: int) -> bool:
    """Whether Metabase reaches the warehouse; a server that cannot tell is taken at its word so far."""
    try:
        return bool(server.get(f"/api/database/{database}/healthcheck")["status"] == "ok")
    except (MetabaseError, KeyError, TypeError):
        return True


def _fields(server: Metabase, database: int) -> dict[str, int]:
    """The ids of the columns that filters are about; waits for Metabase to have read the schema."""
    asked = False
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        tables = server.get(f"/api/database/{database}/metadata")["tables"]
        found = {(table["name"], field["name"]): int(field["id"]) for table in tables for field in table["fields"]}
        columns = {name: (each.table, each.column) for name, each in FILTERS.items()}
        if set(columns.values()) <= found.keys():
            return {name: found[column] for name, column in columns.items()}
        if not asked:
            server.post(f"/api/database/{database}/sync_schema", {})
            asked = True
        if time.monotonic() > deadline:
            raise MetabaseError(
                f"{DATABASE}: Metabase does not see {', '.join(map('.'.join, columns.values() - found.keys()))}; "
                "are the migrations applied, and may the role read?"
            )
        time.sleep(1)


def _ours(items: list[Json]) -> list[Json]:
    """Those with our mark; of several with one mark the oldest, since a copy that somebody made carries it too."""
    first: dict[tuple[str, str], Json] = {}
    for item in sorted(items, key=lambda item: int(item["id"])):
        if mark := _mark(item):
            first.setdefault((item["model"], mark), item)
    return list(first.values())


def _collection(server: Metabase) -> int:
    for found in server.get("/api/collection"):
        if _mark(found) == COLLECTION and not found.get("archived"):
            return int(found["id"])
    body = {"name": COLLECTION, "description": _marked("Made from the repository.", COLLECTION), "parent_id": None}
    return int(server.post("/api/collection", body)["id"])


def _card(question: Question, card: Card, database: int, collection: int, fields: Mapping[str, int]) -> Json:
    tags = {
        name: {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"ikirere/{question.name}/{name}")),
            "name": name,
            "display-name": FILTERS[name].parameter["name"],
            "type": "dimension",
            "dimension": ["field", {}, fields[name]],
            "widget-type": FILTERS[name].parameter["type"],
            "default": None,
        }
        for name in dict.fromkeys(_TAGS.findall(question.sql))
    }
    stage: Json = {"lib/type": "mbql.stage/native", "native": question.sql.strip(), "template-tags": tags}
    return {
        "name": question.title,
        "description": _marked(question.description, question.name),
        "display": card.display,
        "visualization_settings": dict(card.settings),
        "dataset_query": {"lib/type": "mbql/query", "database": database, "stages": [stage]},
        "collection_id": collection,
    }


def _upsert(server: Metabase, model: str, name: str, wanted: Json, items: list[Json]) -> int:
    """The id of our thing of that name, made or changed as needed."""
    for item in items:
        if item["model"] == model and _mark(item) == name:
            found = server.get(f"/api/{model}/{item['id']}")
            changes = {key: value for key, value in wanted.items() if _plain(found.get(key)) != _plain(value)}
            if changes:
                server.put(f"/api/{model}/{item['id']}", changes)
            return int(item["id"])
    return int(server.post(f"/api/{model}", wanted)["id"])


def _dashboard(
    server: Metabase,
    dashboard: Dashboard,
    collection: int,
    cards: Mapping[str, int],
    questions: Mapping[str, Question],
    items: list[Json],
) -> None:
    about = {
        "name": dashboard.name,
        "description": _marked(dashboard.description, dashboard.name),
        "collection_id": collection,
        "parameters": [dict(FILTERS[name].parameter) for name in dashboard.filters],
    }
    number = _upsert(server, "dashboard", dashboard.name, about, items)
    whole = server.get(f"/api/dashboard/{number}")
    found, tabs = whole.get("dashcards") or [], whole.get("tabs") or []
    owned = {*cards.values(), *(int(item["id"]) for item in items if item["model"] == "card")}
    ours = {dashcard["card_id"]: dashcard for dashcard in found if dashcard.get("card_id") in owned}
    # where somebody made tabs ours stand on the first
    tab = {"dashboard_tab_id": tabs[0]["id"]} if tabs else {}
    wanted = [
        _dashcard(card, cards[card.question], dashboard, questions[card.question]) | tab for card in dashboard.cards
    ]
    if sorted(map(_placed, wanted)) == sorted(map(_placed, ours.values())):
        return
    kept = [dashcard for dashcard in found if dashcard.get("card_id") not in owned]
    placed = [
        {**card, "id": ours[card["card_id"]]["id"] if card["card_id"] in ours else -n}
        for n, card in enumerate(wanted, start=1)
    ]
    # the arrays are replaced whole: what others put there goes along as it is
    server.put(f"/api/dashboard/{number}", {"dashcards": placed + kept, "tabs": tabs})


def _dashcard(card: Card, card_id: int, dashboard: Dashboard, question: Question) -> Json:
    tags = _TAGS.findall(question.sql)
    return {
        "card_id": card_id,
        "row": card.row,
        "col": card.col,
        "size_x": card.width,
        "size_y": card.height,
        "series": [],
        "visualization_settings": {},
        "parameter_mappings": [
            {"parameter_id": name, "card_id": card_id, "target": ["dimension", ["template-tag", name]]}
            for name in dashboard.filters
            if name in tags
        ],
    }


def _placed(dashcard: Json) -> tuple[Any, ...]:
    """What of a dashcard is compared; the order of mappings means nothing."""
    mappings = sorted(mapping["parameter_id"] for mapping in dashcard.get("parameter_mappings") or [])
    place = tuple(dashcard.get(key) for key in ("card_id", "row", "col", "size_x", "size_y"))
    return (*place, dashcard.get("dashboard_tab_id") or 0, mappings)


def _plain(value: Any) -> Any:
    """JSON without what the server adds when it saves: ids of its library, and empty options."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key != "lib/uuid" and each is not None}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _marked(description: str, name: str) -> str:
    return f"{description} [ikirere:{name}]"


def _mark(item: Mapping[str, Any]) -> str | None:
    found = _MARK.search(item.get("description") or "")
    return found.group(1) if found else None


def main() -> int:
    """Provision from the environment; 0 when done, 2 when it cannot be."""
    try:
        writes = provision(Settings.from_environment())
    except MetabaseError as error:
        print(f"metabase: {error}", file=sys.stderr)
        return 2
    print("\n".join(writes) or "nothing to change")
    return 0


if __name__ == "__main__":
    sys.exit(main())
