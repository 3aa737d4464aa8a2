-- The windows (UTC days) of each city that its incomplete local days in a window lie in.
-- Parameters: cities and zones (arrays of the same length), start and end (UTC days, both included).
WITH local_day AS (
    SELECT
        city_id,
        zone,
        day::date AS day,
        -- the part of the local day that is in the window
        greatest(day::timestamp AT TIME ZONE zone, %(start)s::timestamp AT TIME ZONE 'UTC') AS begins,
        least((day + interval '1 day') AT TIME ZONE zone, (%(end)s::date + 1)::timestamp AT TIME ZONE 'UTC') AS ends
    FROM unnest(%(cities)s::text[], %(zones)s::text[]) AS city (city_id, zone)
    CROSS JOIN generate_series(%(start)s::timestamp - interval '1 day', %(end)s::timestamp + interval '1 day', '1 day')
        AS day
),
gap AS (
    SELECT
        local_day.city_id,
        begins,
        ends,
        day - (row_number() OVER (PARTITION BY local_day.city_id ORDER BY day))::integer AS island
    FROM local_day
    LEFT JOIN mart_daily_city_weather AS mart ON mart.city_id = local_day.city_id AND mart.date = local_day.day
    WHERE ends > begins
        AND (
            coalesce(mart.hours_observed, 0) < floor(extract(epoch FROM ends - begins) / 3600)
            OR mart.hours_forecast > 0
        )
)
SELECT
    city_id,
    (min(begins) AT TIME ZONE 'UTC')::date AS first_day,
    ((max(ends) - interval '1 second') AT TIME ZONE 'UTC')::date AS last_day
FROM gap
GROUP BY city_id, island
ORDER BY city_id, first_day
