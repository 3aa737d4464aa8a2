-- title: Recent runs
-- description: The last runs of the pipeline: rows read, loaded, unchanged and rejected, and the city-days with a finding of each quality rule.
SELECT
    run_id,
    started_at,
    status,
    source,
    window_start,
    window_end,
    cities,
    rows_in,
    rows_loaded,
    rows_unchanged,
    rows_rejected,
    requests,
    quota_weight,
    round(extract(epoch FROM finished_at - started_at), 1) AS seconds,
    (SELECT string_agg(format('%s %s', rule, city_days), ', ' ORDER BY rule) FROM jsonb_each_text(findings) AS found (rule, city_days))
        AS findings,
    error
FROM pipeline_run
WHERE true [[AND {{run_date}}]]
ORDER BY started_at DESC, run_id
LIMIT 20
