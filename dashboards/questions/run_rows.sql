-- title: Rows of each run
-- description: Rows that each run loaded, left unchanged and rejected.
SELECT started_at, rows_loaded, rows_unchanged, rows_rejected
FROM pipeline_run
WHERE status <> 'failed' [[AND {{run_date}}]]
ORDER BY started_at
