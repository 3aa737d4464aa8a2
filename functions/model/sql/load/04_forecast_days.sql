-- What the run's responses forecast for whole local days, from the day of their fetch to the seventh after it. A response
-- depends on no other one here: its own hours are in `incoming`, or, if none of them was stored before, in staging_weather.
WITH response AS MATERIALIZED (
    SELECT
        city_id, timezone, fetched_at, run_id, (fetched_at AT TIME ZONE timezone)::date AS fetched_on,
        -- its own hours only, and those that these eight days can have, however long they are
        greatest(first_hour, fetched_at - interval '25 hours') AS from_hour,
        least(last_hour, fetched_at + interval '9 days') AS to_hour,
        raw_key = ANY(%(new_keys)s) AS is_new
    FROM incoming_response
    JOIN dim_city USING (city_id)
    -- one that ends earlier has no whole day of these
    WHERE last_hour > fetched_at - interval '1 hour'
), hour AS (
    SELECT city_id, (observed_at AT TIME ZONE timezone)::date AS date, temperature_c, precipitation_mm
    FROM response
    JOIN incoming USING (city_id)
    WHERE observed_at BETWEEN from_hour AND to_hour
    UNION ALL
    SELECT city_id, (observed_at AT TIME ZONE timezone)::date AS date, temperature_c, precipitation_mm
    FROM response
    JOIN staging_weather USING (city_id)
    WHERE is_new AND observed_at BETWEEN from_hour AND to_hour
), day AS MATERIALIZED (
    SELECT
        city_id, date, count(temperature_c) AS temperatures, count(precipitation_mm) AS precipitations,
        trim_scale(sum(temperature_c) / nullif(count(temperature_c), 0)) AS avg_temperature_c,
        min(temperature_c) AS min_temperature_c,
        max(temperature_c) AS max_temperature_c,
        sum(precipitation_mm) AS precipitation_mm
    FROM hour
    GROUP BY city_id, date
), calendar AS MATERIALIZED (
    -- how many hours each local day has
    SELECT timezone, date, count(*) AS hours
    FROM (
        SELECT timezone, min(fetched_on) AS first_day, max(fetched_on) + 7 AS last_day FROM response GROUP BY timezone
    ) AS zone
    -- A local day is within 14 hours before and 12 hours after the UTC day of the same date.
    CROSS JOIN LATERAL generate_series(
        first_day::timestamp AT TIME ZONE 'UTC' - interval '14 hours',
        last_day::timestamp AT TIME ZONE 'UTC' + interval '36 hours',
        interval '1 hour'
    ) AS utc_hour
    CROSS JOIN LATERAL (SELECT (utc_hour AT TIME ZONE timezone)::date AS date) AS local_day
    WHERE date BETWEEN first_day AND last_day
    GROUP BY timezone, date
), forecast AS (
    SELECT
        city_id, date, (date - fetched_on)::smallint AS lead_days, fetched_at, run_id,
        CASE WHEN temperatures = hours THEN avg_temperature_c END AS avg_temperature_c,
        CASE WHEN temperatures = hours THEN min_temperature_c END AS min_temperature_c,
        CASE WHEN temperatures = hours THEN max_temperature_c END AS max_temperature_c,
        CASE WHEN precipitations = hours THEN precipitation_mm END AS precipitation_mm
    FROM day
    JOIN response USING (city_id)
    JOIN calendar USING (timezone, date)
    WHERE date BETWEEN fetched_on AND fetched_on + 7 AND hours IN (temperatures, precipitations)
)
MERGE INTO forecast_day AS old
USING forecast AS new ON old.city_id = new.city_id AND old.date = new.date AND old.lead_days = new.lead_days
WHEN MATCHED
    AND (num_nonnulls(new.avg_temperature_c, new.precipitation_mm), new.fetched_at, new.run_id)
        >= (num_nonnulls(old.avg_temperature_c, old.precipitation_mm), old.fetched_at, old.run_id)
    AND (new.avg_temperature_c, new.min_temperature_c, new.max_temperature_c, new.precipitation_mm, new.fetched_at, new.run_id)
        IS DISTINCT FROM
        (old.avg_temperature_c, old.min_temperature_c, old.max_temperature_c, old.precipitation_mm, old.fetched_at, old.run_id)
THEN
    UPDATE SET avg_temperature_c = new.avg_temperature_c, min_temperature_c = new.min_temperature_c,
        max_temperature_c = new.max_temperature_c, precipitation_mm = new.precipitation_mm, fetched_at = new.fetched_at,
        run_id = new.run_id
WHEN NOT MATCHED THEN
    INSERT (city_id, date, lead_days, avg_temperature_c, min_temperature_c, max_temperature_c, precipitation_mm, fetched_at,
        run_id)
    VALUES (new.city_id, new.date, new.lead_days, new.avg_temperature_c, new.min_temperature_c, new.max_temperature_c,
        new.precipitation_mm, new.fetched_at, new.run_id);
