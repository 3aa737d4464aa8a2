-- title: Seconds of each step
-- description: How long each step of a run took; waits for quota are not counted.
SELECT started_at, ingest_seconds, transform_seconds, model_seconds
FROM pipeline_run
WHERE status <> 'failed' [[AND {{run_date}}]]
ORDER BY started_at
