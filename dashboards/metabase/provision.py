"""Create the dashboards of this folder in Metabase: ``python -m dashboards.metabase.provision``.

It is idempotent: a second run applies changes and archives questions removed here. Items that it creates carry a mark
in their description; it does not touch others. It uses the REST API of Metabase 0.58 and later
(https://www.metabase.com/docs/latest/api), because the free edition has no serialization.
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

from dashboards.metabase.client import Metabase, MetabaseError
from dashboards.metabase.layout import DASHBOARDS, FILTERS, Card, Dashboard
from dashboards.questions import Question, load_question
from functions.core import dictionary

Json = dict[str, Any]

COLLECTION = "Ikirere"
DATABASE = "Ikirere warehouse"
_WAIT_SECONDS = 300
_MARK = re.compile(r"\[ikirere:([\w -]+)\]$")
_TAGS = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Metabase's address, its admin user (created on a new server), and the warehouse address of the reading role."""

    url: str
    email: str
    password: str
    warehouse: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Return the settings. Raises MetabaseError with the variables that are not set."""
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
    """Create, change and archive what is needed; return the write requests. Raises MetabaseError."""
    server = Metabase(settings.url)
    _set_up(server, settings)
    database = _database(server, settings.warehouse)
    tables = _tables(server, database)
    _describe(server, tables)
    fields = _fields(tables)
    collection = _collection(server)
    items = _own_items(server.get(f"/api/collection/{collection}/items?models=card&models=dashboard")["data"])
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
    current = {("card", name) for name in cards} | {("dashboard", dashboard.name) for dashboard in dashboards}
    for item in items:
        if (item["model"], _mark(item)) not in current:
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
        present = found.get("details") or {}
        # ours has this name and our role; another database of the same name is not touched
        if all(found[key] == value for key, value in wanted.items()) and present.get("user") == details["user"]:
            moved = any(present.get(key) != value for key, value in details.items())
            # the API never returns the password: a failing health check shows that it changed
            if moved or bool(present.get("ssl")) != secret["ssl"] or not _connects(server, found["id"]):
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
    """Return whether Metabase reaches the warehouse; True when its health check does not work."""
    try:
        return bool(server.get(f"/api/database/{database}/healthcheck")["status"] == "ok")
    except (MetabaseError, KeyError, TypeError):
        return True


def _tables(server: Metabase, database: int) -> list[Json]:
    """Return Metabase's tables; wait until they have the columns of the filters. Raises MetabaseError."""
    requested = False
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        tables: list[Json] = server.get(f"/api/database/{database}/metadata")["tables"]
        missing = {(each.table, each.column) for each in FILTERS.values()} - _field_ids(tables).keys()
        if not missing:
            return tables
        if not requested:
            server.post(f"/api/database/{database}/sync_schema", {})
            requested = True
        if time.monotonic() > deadline:
            raise MetabaseError(
                f"{DATABASE}: Metabase does not see {', '.join(map('.'.join, sorted(missing)))}; "
                "are the migrations applied, and may the role read?"
            )
        time.sleep(1)


def _field_ids(tables: list[Json]) -> dict[tuple[str, str], int]:
    return {(table["name"], field["name"]): int(field["id"]) for table in tables for field in table["fields"]}


def _fields(tables: list[Json]) -> dict[str, int]:
    """Return the field id of each filter's column."""
    found = _field_ids(tables)
    return {name: found[each.table, each.column] for name, each in FILTERS.items()}


def _describe(server: Metabase, tables: list[Json]) -> None:
    """Describe tables and columns as the data dictionary does, which Metabase shows beside them."""
    for table in tables:
        known = dictionary.tables().get(table["name"])
        if known is None:
            continue
        wanted = [("table", table, known.description)]
        wanted += [
            ("field", field, known.columns[field["name"]].comment)
            for field in table["fields"]
            if field["name"] in known.columns
        ]
        for model, item, description in wanted:
            if item.get("description") != description:
                server.put(f"/api/{model}/{item['id']}", {"description": description})


def _own_items(items: list[Json]) -> list[Json]:
    """Return the oldest item of each mark: a copy that a user makes of our item carries its mark too."""
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
    """Return the id of our item of that name; create or change it if needed."""
    for item in items:
        if item["model"] == model and _mark(item) == name:
            found = server.get(f"/api/{model}/{item['id']}")
            changes = {key: value for key, value in wanted.items() if _comparable(found.get(key)) != _comparable(value)}
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
        "parameters": [dict(parameter) for parameter in dashboard.filters],
    }
    number = _upsert(server, "dashboard", dashboard.name, about, items)
    whole = server.get(f"/api/dashboard/{number}")
    found, tabs = whole.get("dashcards") or [], whole.get("tabs") or []
    owned = {*cards.values(), *(int(item["id"]) for item in items if item["model"] == "card")}
    ours = {dashcard["card_id"]: dashcard for dashcard in found if dashcard.get("card_id") in owned}
    # if a user made tabs, our cards are on the first one
    tab = {"dashboard_tab_id": tabs[0]["id"]} if tabs else {}
    wanted = [
        _dashcard(card, cards[card.question], dashboard, questions[card.question]) | tab for card in dashboard.cards
    ]
    if sorted(map(_placement, wanted)) == sorted(map(_placement, ours.values())):
        return
    others = [dashcard for dashcard in found if dashcard.get("card_id") not in owned]
    placed = [
        {**card, "id": ours[card["card_id"]]["id"] if card["card_id"] in ours else -n}
        for n, card in enumerate(wanted, start=1)
    ]
    # the request replaces the arrays, so it contains other users' dashcards unchanged
    server.put(f"/api/dashboard/{number}", {"dashcards": placed + others, "tabs": tabs})


def _dashcard(card: Card, card_id: int, dashboard: Dashboard, question: Question) -> Json:
    parameters = {parameter["id"] for parameter in dashboard.filters}
    tags = [(tag, FILTERS[tag].parameter["id"]) for tag in dict.fromkeys(_TAGS.findall(question.sql))]
    return {
        "card_id": card_id,
        "row": card.row,
        "col": card.col,
        "size_x": card.width,
        "size_y": card.height,
        "series": [],
        "visualization_settings": {},
        "parameter_mappings": [
            {"parameter_id": parameter, "card_id": card_id, "target": ["dimension", ["template-tag", tag]]}
            for tag, parameter in tags
            if parameter in parameters
        ],
    }


def _placement(dashcard: Json) -> tuple[Any, ...]:
    """Return the properties of a dashcard that are compared; the order of its mappings has no meaning."""
    mappings = sorted(mapping["parameter_id"] for mapping in dashcard.get("parameter_mappings") or [])
    place = tuple(dashcard.get(key) for key in ("card_id", "row", "col", "size_x", "size_y"))
    return (*place, dashcard.get("dashboard_tab_id") or 0, mappings)


def _comparable(value: Any) -> Any:
    """Return JSON without what the server adds on saving: ``lib/uuid`` keys and empty options."""
    if isinstance(value, dict):
        return {key: _comparable(each) for key, each in value.items() if key != "lib/uuid" and each is not None}
    if isinstance(value, list):
        return [_comparable(each) for each in value]
    return value


def _marked(description: str, name: str) -> str:
    return f"{description} [ikirere:{name}]"


def _mark(item: Mapping[str, Any]) -> str | None:
    found = _MARK.search(item.get("description") or "")
    return found.group(1) if found else None


def main() -> int:
    """Provision with the settings of the environment; return 0 on success, 2 on failure."""
    try:
        writes = provision(Settings.from_environment())
    except MetabaseError as error:
        print(f"metabase: {error}", file=sys.stderr)
        return 2
    print("\n".join(writes) or "nothing to change")
    return 0


if __name__ == "__main__":
    sys.exit(main())
