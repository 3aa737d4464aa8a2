-- title: Seconds of each step
-- description: The duration of each step of a run, without waits for quota.
SELECT started_at, ingest_seconds, transform_seconds, model_seconds
FROM pipeline_run
WHERE status <> 'failed' [[AND {{run_date}}]]
ORDER BY started_at
