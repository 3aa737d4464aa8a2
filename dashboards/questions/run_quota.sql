-- title: Quota used
-- description: Requests and quota weight of the runs of each day. A replayed run counts on the day of its last replay. The free host allows a weight of 10,000 a day.
SELECT started_at::date AS day, sum(requests) AS requests, sum(quota_weight) AS quota_weight
FROM pipeline_run
WHERE true [[AND {{run_date}}]]
GROUP BY started_at::date
ORDER BY day
