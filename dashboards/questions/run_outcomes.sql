-- title: Runs by outcome
-- description: Runs of each day by status.
SELECT
    started_at::date AS day,
    count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE status = 'partial') AS partial,
    count(*) FILTER (WHERE status = 'failed') AS failed
FROM pipeline_run
WHERE true [[AND {{run_date}}]]
GROUP BY started_at::date
ORDER BY day
