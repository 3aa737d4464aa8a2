"""A run of one part, as the state machine gives it to Model."""

EXECUTION = {
    "name": "run-1",
    "arn": "arn:aws:states:eu-west-1:1:execution:p:run-1",
    "started_at": "2026-03-01T04:00:00.000Z",
}
RUN = {
    "run_id": "run-1",
    "source": "forecast",
    "run_date": "2026-03-01",
    "start": "2026-02-27",
    "end": "2026-03-02",
    "variables": ["temperature_2m"],
    "cities": ["kigali"],
}
PART = {
    "raw_key": "raw/source=forecast/date=2026-03-01/run=run-1/part-0000.json.gz",
    "sha256": "0" * 64,
    "rows_in": 3,
    "rows": 2,
    "rejected": 1,
    "seconds": 0.25,
}
INGEST = {
    "status": "complete",
    "run": RUN,
    "cities": 1,
    "parts": [{"raw_key": PART["raw_key"], "cities": 1}],
    "failed_cities": [],
    "requests": 1,
    "quota_weight": 1.0,
    "seconds": 0.5,
    "wait_seconds": 0,
    "reason": "",
}
LOAD = {"action": "load", "execution": EXECUTION, "ingest": INGEST, "parts": [PART]}
