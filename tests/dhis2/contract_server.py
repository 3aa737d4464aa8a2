"""A model of DHIS2's resource dataValueSets, from its documentation: tests with it check our reading of it, not DHIS2.

https://docs.dhis2.org/en/develop/using-the-api/dhis-core-version-master/data.html, and for what that leaves open the
source of dhis2-core (DefaultDataValueSetService, DataValueSetImportValidator, WeeklyAbstractPeriodType, ErrorCode):

- a token as `Authorization: ApiToken`, else 401; JSON only, else 415; a body that is no JSON is 400;
- a value with an unknown object, a wrong period or a wrong value is ignored, and a conflict names it; the others are
  imported;
- dryRun counts the same and stores nothing; CREATE_AND_UPDATE is the default strategy;
- a zero is not stored unless the data element stores zeros, and not counted either;
- version 2.41: a web message, 409 with conflicts that have indexes, an unchanged value is ignored (DHIS2-15254);
  version 2.37: the summary itself, always 200, conflicts with an object only, an unchanged value counts as updated.
"""

import json
import re
import threading
from dataclasses import dataclass
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
Key = tuple[str, str, str, str, str]
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_INTEGER = re.compile(r"0|-?[1-9]\d*")
_TYPES = {
    "NUMBER": _NUMBER,
    "INTEGER": _INTEGER,
    "BOOLEAN": re.compile("true|false"),
    "DATE": re.compile(r"\d{4}-\d\d-\d\d"),
}
TOKEN = "a-token-of-a-test"
_DEFAULT_COMBO = "HllvX50cXC0"


@dataclass(frozen=True)
class Element:
    """A data element of the server."""

    value_type: str = "NUMBER"
    period_type: str = "Weekly"
    stores_zeros: bool = True


class ContractServer:
    """A server with its state in memory; a context manager."""

    def __init__(self, version: str = "2.41") -> None:
        self.is_old = version == "2.37"
        self.token = TOKEN
        self.elements: dict[str, Element] = {}
        self.org_units: set[str] = set()
        self.combos: set[str] = {_DEFAULT_COMBO}
        self.data_sets: set[str] = set()
        self.closed_periods: set[str] = set()
        self.today = date(2027, 6, 1)
        self.stored: dict[Key, str] = {}
        # Writes of each import that was no dry run.
        self.writes: list[int] = []
        self.requests: list[tuple[str, dict[str, str], Json]] = []
        # Responses to give instead, the first one first.
        self.instead: list[tuple[int, bytes, dict[str, str]] | None] = []
        self._lock = threading.Lock()
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

    def respond(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Json]:
        parts = urlsplit(path)
        if headers.get("Authorization") != f"ApiToken {self.token}":
            return _message(401, "ERROR", "Unauthorized")
        if parts.path != "/api/dataValueSets":
            return _message(404, "ERROR", "Not Found")
        if headers.get("Content-Type", "").split(";")[0] != "application/json":
            return _message(415, "ERROR", "Unsupported Media Type")
        try:
            document = json.loads(body)
        except ValueError:
            return _message(400, "ERROR", "Bad Request")
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.requests.append((parts.path, options, document))
        with self._lock:
            summary = self._import(document, options)
        if self.is_old:
            return 200, summary
        if summary["conflicts"]:
            return _message(409, "WARNING", "One more conflicts encountered, please check import summary.", summary)
        return _message(200, "OK", "Import was successful.", summary)

    def _import(self, document: Json, options: dict[str, str]) -> Json:
        counts = dict.fromkeys(("imported", "updated", "ignored", "deleted"), 0)
        conflicts: dict[tuple[str, ...], Json] = {}
        rejected: list[int] = []
        data_set = document.get("dataSet")
        if data_set and data_set not in self.data_sets:
            made = self._conflict("E7600", "dataSet", data_set, f"Data set not found or not accessible: `{data_set}`")
            return self._summary("Import process was aborted", counts, [made], rejected, "ERROR")
        changes: dict[Key, str | None] = {}
        for index, value in enumerate(document["dataValues"]):
            if found := self._refusal(value):
                counts["ignored"] += 1
                rejected.append(index)
                conflicts.setdefault(found, self._conflict(*found)).setdefault("indexes", []).append(index)
                continue
            self._store(value, counts, changes, options.get("importStrategy", "CREATE_AND_UPDATE"))
        if options.get("dryRun") != "true":
            self.writes.append(len(changes))
            for key, text in changes.items():
                if text is None:
                    del self.stored[key]
                else:
                    self.stored[key] = text
        status = "WARNING" if conflicts else "SUCCESS"
        return self._summary(
            "Import process completed successfully", counts, list(conflicts.values()), rejected, status
        )

    def _store(self, value: Json, counts: dict[str, int], changes: dict[Key, str | None], strategy: str) -> None:
        key = (
            value["dataElement"], value["period"], value["orgUnit"],
            value.get("categoryOptionCombo", _DEFAULT_COMBO), value.get("attributeOptionCombo", _DEFAULT_COMBO),
        )  # fmt: skip
        text, there = value["value"], self.stored.get(key)
        is_zero = text in ("0", "0.0") and not self.elements[value["dataElement"]].stores_zeros
        if there is None:
            if is_zero:
                return
            if strategy in ("CREATE", "CREATE_AND_UPDATE"):
                counts["imported"] += 1
                changes[key] = text
            else:
                counts["ignored"] += 1
        elif strategy not in ("UPDATE", "CREATE_AND_UPDATE"):
            counts["ignored"] += 1
        elif is_zero:
            counts["deleted"] += 1
            changes[key] = None
        elif there == text:
            counts["updated" if self.is_old else "ignored"] += 1
        else:
            counts["updated"] += 1
            changes[key] = text

    def _refusal(self, value: Json) -> tuple[str, str, str, str] | None:
        """Return the code, property, object and text of the conflict of a value; None if it is accepted."""
        uid, period, unit = value["dataElement"], value["period"], value["orgUnit"]
        element = self.elements.get(uid)
        if element is None:
            return "E7610", "dataElement", uid, f"Data element not found or not accessible: `{uid}`"
        found = _period(period)
        if found is None:
            return "E7611", "period", period, f"Period not valid: `{period}`"
        if unit not in self.org_units:
            return "E7612", "orgUnit", unit, f"Organisation unit not found or not accessible: `{unit}`"
        for name, code in (("categoryOptionCombo", "E7613"), ("attributeOptionCombo", "E7615")):
            if value.get(name, _DEFAULT_COMBO) not in self.combos:
                combo = value[name]
                return code, name, combo, f"Option combo not found or not accessible for writing data: `{combo}`"
        if not _TYPES[element.value_type].fullmatch(value["value"]):
            return "E7619", "value", uid, f"Value must match data element's `{uid}` type constraints: {value['value']}"
        period_type, last_day = found
        if period_type != element.period_type:
            return "E7632", "period", period, f"Period type of period: `{period}` not valid for data element: `{uid}`"
        if last_day > self.today:
            return "E7641", "period", period, f"Period: `{period}` is after latest open future period: `{uid}`"
        if period in self.closed_periods:
            return "E7643", "period", period, f"Period: `{period}` is not open for this data set at this time"
        return None

    def _conflict(self, code: str, name: str, uid: str, text: str) -> Json:
        if self.is_old:
            return {"object": uid, "value": text.split(":")[0]}
        return {"object": uid, "objects": {name: uid}, "value": text, "errorCode": code, "property": name}

    def _summary(self, text: str, counts: Json, conflicts: list[Json], rejected: list[int], status: str) -> Json:
        made = {
            "responseType": "ImportSummary",
            "status": status,
            "description": text,
            "importCount": counts,
            "conflicts": conflicts,
            "dataSetComplete": "false",
        }
        if self.is_old:
            for conflict in conflicts:
                conflict.pop("indexes", None)
            return made
        return made | {"rejectedIndexes": rejected}


def _period(text: str) -> tuple[str, date] | None:
    """Return the type and last day of a period: a week has one or two digits (2027W1, 2027W01), a month two."""
    try:
        if week := re.fullmatch(r"(\d{4})W(\d\d?)", text):
            return "Weekly", date.fromisocalendar(int(week[1]), int(week[2]), 7)
        if month := re.fullmatch(r"(\d{4})(\d\d)", text):
            year, number = int(month[1]), int(month[2])
            return "Monthly", date(year + number // 12, number % 12 + 1, 1) - timedelta(days=1)
    except ValueError:
        pass
    return None


def _message(code: int, status: str, text: str, summary: Json | None = None) -> tuple[int, Json]:
    made = {"httpStatusCode": code, "status": status, "message": text}
    return code, made | ({"response": summary} if summary else {})


def _handler(server: ContractServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            instead = server.instead.pop(0) if server.instead else None
            if instead:
                self._send(*instead)
                return
            status, document = server.respond(self.path, dict(self.headers), body)
            self._send(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
