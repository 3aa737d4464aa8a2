"""A model of Metabase's REST API, from its sources: tests with it check our reading of the API, not Metabase itself.

Its rules: 403 on a second setup; a session is needed except for health, properties, setup and sign-in; the password
of a database is never returned; sync is asynchronous; a description of a table or field is not blank; a saved query has
``lib/uuid`` keys; POST of a dashboard ignores dashcards, and PUT replaces the arrays and creates the dashcards with
negative ids.
"""

import copy
import itertools
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


class ContractServer:
    """A server with its state in memory; a context manager."""

    def __init__(self) -> None:
        self.user: Json | None = None
        self.sessions: set[str] = set()
        self.things: dict[str, dict[int, Json]] = {name: {} for name in ("database", "collection", "card", "dashboard")}
        self.synced: dict[int, int] = {}
        fields = [{"id": 900 + n, "name": name} for n, name in enumerate(("city_id", "city", "date", "mayor"))]
        runs = [{"id": 910 + n, "name": name} for n, name in enumerate(("run_id", "started_at"))]
        climate = [
            {
                "id": 12 + n,
                "name": name,
                "fields": [{"id": 930 + 10 * n + m, "name": column} for m, column in enumerate(columns)],
            }
            for n, (name, columns) in enumerate(
                {
                    "mart_weekly_city_anomaly": ("city", "start_date"),
                    "mart_monthly_city_anomaly": ("city", "start_date"),
                    "mart_monthly_city_weather": ("city", "start_date"),
                    "mart_forecast_skill": ("city",),
                }.items()
            )
        ]
        # as they are in a warehouse without comments, and two that are not of the pipeline
        self.tables: list[Json] = [
            {"id": 9, "name": "mart_daily_city_weather", "fields": fields},
            {"id": 10, "name": "pipeline_run", "fields": runs},
            {"id": 11, "name": "malaria_cases", "fields": [{"id": 920, "name": "city_id"}]},
            *climate,
        ]
        for each in (*self.tables, *(field for table in self.tables for field in table["fields"])):
            each["description"] = None
        self.not_ready = 2
        self.warehouse_password = "p@ss"
        self._ids = itertools.count(1)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "ContractServer":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def respond(self, method: str, path: str, body: Json, session: str | None) -> tuple[int, Any]:
        parts = path.split("?")[0].strip("/").split("/")[1:]
        match method, parts:
            case "GET", ["health"]:
                self.not_ready = max(0, self.not_ready - 1)
                return (200, {"status": "ok"}) if self.not_ready == 0 else (503, {"status": "initializing"})
            case "GET", ["session", "properties"]:
                return 200, {"setup-token": "t0ken", "has-user-setup": self.user is not None}
            case "POST", ["setup"]:
                if self.user:
                    return 403, "The /api/setup route can only be used to create the first user."
                if body["token"] != "t0ken" or not body["prefs"]["site_name"]:
                    return 400, {"errors": {}}
                self.user = body["user"]
                return 200, {"id": str(uuid.uuid4())}
            case "POST", ["session"]:
                if not self.user or (body["username"], body["password"]) != (self.user["email"], self.user["password"]):
                    return 401, {"errors": {"password": "did not match stored password"}}
                self.sessions.add(made := str(uuid.uuid4()))
                return 200, {"id": made}
        if session not in self.sessions:
            return 401, "Unauthenticated"
        return self._signed_in(method, parts, body)

    def _signed_in(self, method: str, parts: list[str], body: Json) -> tuple[int, Any]:
        match method, parts:
            case "GET", ["database"]:
                return 200, {"data": [self._shown("database", each) for each in self.things["database"].values()]}
            case "GET", ["collection"]:
                return 200, [{"id": "root", "name": "Our analytics"}, *self.things["collection"].values()]
            case "GET", ["database", number, "healthcheck"]:
                reached = self.things["database"][int(number)]["details"]["password"] == self.warehouse_password
                return 200, {"status": "ok"} if reached else {"status": "error", "message": "authentication failed"}
            case "GET", ["database", number, "metadata"]:
                return 200, {"tables": self._tables(int(number))}
            case "POST", ["database", number, "sync_schema"]:
                self.synced[int(number)] = 2
                return 200, {"status": "ok"}
            case "GET", ["collection", number, "items"]:
                items = [
                    {"id": each["id"], "model": model, "name": each["name"], "description": each["description"]}
                    for model in ("card", "dashboard")
                    for each in self.things[model].values()
                    if each["collection_id"] == int(number) and not each["archived"]
                ]
                return 200, {"data": items, "total": len(items)}
            case "POST", [model]:
                return self._make(model, body)
            case "GET", [model, number]:
                return 200, self._shown(model, self.things[model][int(number)])
            case "PUT", ["table" | "field" as model, number]:
                if not body["description"].strip():
                    return 400, {"errors": {"description": "must not be blank"}}
                found = self.tables if model == "table" else [field for each in self.tables for field in each["fields"]]
                next(each for each in found if each["id"] == int(number)).update(body)
                return 200, {}
            case "PUT", [model, number]:
                return self._change(self.things[model][int(number)], model, body)
        return 404, "API endpoint does not exist."

    def _make(self, model: str, body: Json) -> tuple[int, Json]:
        number = next(self._ids)
        if model == "collection" and not body.get("description", "x").strip():
            return 400, {"errors": {"description": "must not be blank"}}
        if model == "dashboard":
            body = {key: body[key] for key in ("name", "description", "parameters", "collection_id")} | {
                "dashcards": []
            }
        self.things[model][number] = copy.deepcopy(body) | {"id": number, "archived": False}
        self._saved(self.things[model][number])
        return 200, self._shown(model, self.things[model][number])

    def _change(self, thing: Json, model: str, body: Json) -> tuple[int, Json]:
        body = copy.deepcopy(body)
        if "dashcards" in body and "tabs" not in body:
            return 400, {"errors": {"tabs": "send tabs with dashcards"}}
        for dashcard in body.get("dashcards", ()):
            if dashcard["id"] < 0:
                dashcard["id"] = next(self._ids)
        thing |= body
        self._saved(thing)
        return 200, self._shown(model, thing)

    @staticmethod
    def _saved(thing: Json) -> None:
        for stage in thing.get("dataset_query", {}).get("stages", ()):
            for tag in stage["template-tags"].values():
                tag["dimension"][1]["lib/uuid"] = str(uuid.uuid4())
                tag.pop("default", None)

    def _shown(self, model: str, thing: Json) -> Json:
        shown = copy.deepcopy(thing)
        if model == "database":
            shown["details"]["password"] = "**MetabasePass**"
        for dashcard in shown.get("dashcards", ()):
            dashcard["card"] = {"description": self.things["card"].get(dashcard["card_id"], {}).get("description")}
        return shown

    def _tables(self, number: int) -> list[Json]:
        if number not in self.synced:
            return []
        self.synced[number] = max(0, self.synced[number] - 1)
        if self.synced[number]:
            return []
        return copy.deepcopy(self.tables)


def _handler(server: ContractServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            status, document = server.respond(self.command, self.path, body, self.headers.get("X-Metabase-Session"))
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = _any  # noqa: N815  # http.server's names

        def log_message(self, *_: object) -> None:
            pass

    return Handler
