-- What the run's responses forecast for whole local days, from the day of their fetch to the seventh after it. A response
-- depends on no other one here: its own hours are in `incoming`, or, if none of them was stored before, in staging_weather.
WITH response AS MATERIALIZED (
    SELECT
        city_id, timezone, fetched_at, run_id, (fetched_at AT TIME ZONE timezone)::date AS fetched_on,
        raw_key = ANY(%(new_keys)s) AS is_new
    FROM incoming_response
    JOIN dim_city USING (city_id)
    -- one that ends earlier has no whole day of these
    WHERE last_hour > fetched_at - interval '1 hour'
), zone AS (
    SELECT timezone, min(fetched_on) AS first_day, max(fetched_on) + 7 AS last_day
    FROM response
    GROUP BY timezone
), calendar AS MATERIALIZED (
    SELECT timezone, observed_at, date, count(*) OVER (PARTITION BY timezone, date) AS hours
    FROM zone
    -- A local day is within 14 hours before and 12 hours after the UTC day of the same date.
    CROSS JOIN LATERAL generate_series(
        first_day::timestamp AT TIME ZONE 'UTC' - interval '14 hours',
        last_day::timestamp AT TIME ZONE 'UTC' + interval '36 hours',
        interval '1 hour'
    ) AS observed_at
    CROSS JOIN LATERAL (SELECT (observed_at AT TIME ZONE timezone)::date AS date) AS local_day
    WHERE date BETWEEN first_day AND last_day
), bounds AS (
    SELECT min(observed_at) AS first_hour, max(observed_at) AS last_hour FROM calendar
), hour AS (
    SELECT city_id, observed_at, temperature_c, precipitation_mm
    FROM incoming
    WHERE observed_at BETWEEN (SELECT first_hour FROM bounds) AND (SELECT last_hour FROM bounds)
    UNION ALL
    SELECT city_id, observed_at, temperature_c, precipitation_mm
    FROM response
    CROSS JOIN LATERAL (
        SELECT observed_at, temperature_c, precipitation_mm
        FROM staging_weather AS stored
        WHERE stored.city_id = response.city_id
            AND observed_at BETWEEN (SELECT first_hour FROM bounds) AND (SELECT last_hour FROM bounds)
    ) AS own
    WHERE is_new
), forecast AS (
    SELECT
        city_id, date, (date - fetched_on)::smallint AS lead_days, fetched_at, run_id,
        CASE WHEN count(temperature_c) = hours THEN trim_scale(sum(temperature_c) / hours) END AS avg_temperature_c,
        CASE WHEN count(temperature_c) = hours THEN min(temperature_c) END AS min_temperature_c,
        CASE WHEN count(temperature_c) = hours THEN max(temperature_c) END AS max_temperature_c,
        CASE WHEN count(precipitation_mm) = hours THEN sum(precipitation_mm) END AS precipitation_mm
    FROM response
    JOIN calendar USING (timezone)
    JOIN hour USING (city_id, observed_at)
    WHERE date BETWEEN fetched_on AND fetched_on + 7
    GROUP BY city_id, date, fetched_on, fetched_at, run_id, hours
    HAVING count(temperature_c) = hours OR count(precipitation_mm) = hours
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
