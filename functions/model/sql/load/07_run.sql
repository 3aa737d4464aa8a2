-- Writes the run's row. A replayed run has one row: that of its last execution. A failure replaces neither the row of a
-- load nor that of a later failure: an execution that ended earlier may be recorded after it.
INSERT INTO pipeline_run (
    run_id, status, source, window_start, window_end, cities, rows_in, rows_loaded, rows_unchanged, rows_rejected,
    requests, quota_weight, ingest_seconds, transform_seconds, model_seconds, started_at, finished_at,
    objects, failed_cities, event, execution_arn, error, cause, findings
)
VALUES (
    %(run_id)s, %(status)s, %(source)s, %(window_start)s, %(window_end)s, %(cities)s, %(rows_in)s, %(rows_loaded)s,
    %(rows_unchanged)s, %(rows_rejected)s, %(requests)s, %(quota_weight)s, %(ingest_seconds)s, %(transform_seconds)s,
    %(model_seconds)s, %(started_at)s, clock_timestamp(), %(objects)s, %(failed_cities)s, %(event)s, %(execution_arn)s,
    %(error)s, %(cause)s, %(findings)s
)
ON CONFLICT (run_id) DO UPDATE SET
    status = excluded.status, source = excluded.source, window_start = excluded.window_start,
    window_end = excluded.window_end, cities = excluded.cities, rows_in = excluded.rows_in,
    rows_loaded = excluded.rows_loaded, rows_unchanged = excluded.rows_unchanged, rows_rejected = excluded.rows_rejected,
    requests = excluded.requests, quota_weight = excluded.quota_weight, ingest_seconds = excluded.ingest_seconds,
    transform_seconds = excluded.transform_seconds, model_seconds = excluded.model_seconds,
    started_at = excluded.started_at, finished_at = excluded.finished_at, objects = excluded.objects,
    failed_cities = excluded.failed_cities, event = excluded.event, execution_arn = excluded.execution_arn,
    error = excluded.error, cause = excluded.cause, findings = excluded.findings
WHERE excluded.status <> 'failed' OR (pipeline_run.status = 'failed' AND pipeline_run.started_at <= excluded.started_at);
