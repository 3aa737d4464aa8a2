-- The affected city-days as staging_weather now gives them. A day is the city's local day: an hour belongs to the day of
-- its local date, which stays right across clock changes.

-- Consecutive days of a city are one range.
CREATE TEMPORARY TABLE affected_range ON COMMIT DROP AS
SELECT city_id, lower(days) AS first_day, upper(days) - 1 AS last_day
FROM (SELECT city_id, unnest(range_agg(days)) AS days FROM affected GROUP BY city_id) AS island;
-- Without the number of ranges the planner takes them for thousands.
ANALYZE affected_range;

CREATE TEMPORARY TABLE recomputed_day ON COMMIT DROP AS
WITH zone AS (
    SELECT timezone, min(first_day) AS first_day, max(last_day) AS last_day
    FROM affected_range
    JOIN dim_city USING (city_id)
    GROUP BY timezone
), calendar AS MATERIALIZED (
    -- The hours of each local day, mostly 23 to 25. A zone's clock has gone back across midnight twice since 1940
    -- (America/Goose_Bay in 1988, Antarctica/Casey in 2010): then hours of two days alternate.
    SELECT
        timezone, date, min(utc_hour) AS first_hour, max(utc_hour) AS last_hour, count(*)::smallint AS hours,
        count(*) * interval '1 hour' <= max(utc_hour) - min(utc_hour) AS is_interrupted
    FROM zone
    -- A local day is within 14 hours before and 12 hours after the UTC day of the same date.
    CROSS JOIN LATERAL generate_series(
        first_day::timestamp AT TIME ZONE 'UTC' - interval '14 hours',
        last_day::timestamp AT TIME ZONE 'UTC' + interval '36 hours',
        interval '1 hour'
    ) AS utc_hour
    CROSS JOIN LATERAL (SELECT (utc_hour AT TIME ZONE timezone)::date AS date) AS local_day
    GROUP BY timezone, date
), affected_day AS (
    SELECT city_id, city, city.timezone, population, area_km2, date, first_hour, last_hour, hours, is_interrupted
    FROM affected_range
    JOIN dim_city AS city USING (city_id)
    JOIN calendar ON calendar.timezone = city.timezone AND date BETWEEN first_day AND last_day
    -- in the order of the primary keys: in any other one each day reads pages that are no longer in memory
    ORDER BY city_id, date
)
SELECT
    city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c,
    max_temperature_c - min_temperature_c AS temperature_range_c, avg_humidity, min_humidity, max_humidity,
    round((max_heat_index_f - 32) / 1.8, 1) AS max_heat_index_c,
    hours_heat_caution, hours_heat_extreme_caution, hours_heat_danger, hours_heat_extreme_danger,
    precipitation_mm, max_wind_speed_kmh, max_uv_index,
    %(conditions)s::jsonb ->> dominant_code::text AS dominant_condition,
    hours_observed, affected_day.hours AS hours_expected, hours_forecast, hours_archive, hours_humidity, population,
    area_km2
FROM affected_day
-- each day through the primary key: its hours are neither sorted nor is a local date computed for each of them
CROSS JOIN LATERAL (
    SELECT
        trim_scale(sum(temperature_c) / nullif(count(temperature_c), 0)) AS avg_temperature_c,
        min(temperature_c) AS min_temperature_c,
        max(temperature_c) AS max_temperature_c,
        trim_scale(sum(humidity) / nullif(count(humidity), 0)) AS avg_humidity,
        min(humidity) AS min_humidity,
        max(humidity) AS max_humidity,
        max(heat_index_f) AS max_heat_index_f,
        -- the thresholds of the United States weather service
        (count(*) FILTER (WHERE heat_index_f >= 80))::smallint AS hours_heat_caution,
        (count(*) FILTER (WHERE heat_index_f >= 90))::smallint AS hours_heat_extreme_caution,
        (count(*) FILTER (WHERE heat_index_f >= 103))::smallint AS hours_heat_danger,
        (count(*) FILTER (WHERE heat_index_f >= 125))::smallint AS hours_heat_extreme_danger,
        sum(precipitation_mm) AS precipitation_mm,
        max(wind_speed_kmh) AS max_wind_speed_kmh,
        max(uv_index) AS max_uv_index,
        -- the most frequent; mode() takes the first of equals: the more severe, which is the greater WMO code
        mode() WITHIN GROUP (ORDER BY weather_code DESC) AS dominant_code,
        count(temperature_c)::smallint AS hours_observed,
        (count(*) FILTER (WHERE observed_at > fetched_at))::smallint AS hours_forecast,
        (count(*) FILTER (WHERE source = 'archive'))::smallint AS hours_archive,
        count(humidity)::smallint AS hours_humidity
    FROM (
        SELECT *, heat_index_f(temperature_c, humidity) AS heat_index_f
        FROM staging_weather
        WHERE staging_weather.city_id = affected_day.city_id AND observed_at BETWEEN first_hour AND last_hour
            AND (NOT is_interrupted OR (observed_at AT TIME ZONE timezone)::date = date)
        -- so that the heat index is computed once for each hour
        OFFSET 0
    ) AS hour
    HAVING count(*) > 0
) AS daily;

-- The stored days around the recomputed ones: later days, whose rolling rain has a recomputed day, and earlier days, whose
-- rain is part of it. A removed day is none of both.
CREATE TEMPORARY TABLE adjacent_range ON COMMIT DROP AS
WITH city AS (
    SELECT
        city_id,
        range_agg(daterange(first_day, last_day, '[]')) AS affected,
        range_agg(daterange(last_day, last_day + 89, '[]')) AS later,
        range_agg(daterange(first_day - 89, first_day, '[]')) AS earlier
    FROM affected_range
    GROUP BY city_id
)
SELECT city_id, is_later, lower(days) AS first_day, upper(days) - 1 AS last_day
FROM (
    SELECT city_id, true AS is_later, unnest(later - affected) AS days FROM city
    UNION ALL
    SELECT city_id, false, unnest(earlier - affected - later) FROM city
) AS adjacent;
ANALYZE adjacent_range;

-- The rolling rain of the recomputed and the later days. Only days with a rain value have a row here, so that the rain of
-- 7 days is that of 7 rows without a gap: the difference of two running totals, which are exact.
CREATE TEMPORARY TABLE rolling_rain ON COMMIT DROP AS
WITH rain AS (
    SELECT city_id, date, precipitation_mm, true AS is_recomputed, false AS is_later
    FROM recomputed_day
    WHERE precipitation_mm IS NOT NULL
    UNION ALL
    SELECT mart.city_id, date, precipitation_mm, false, is_later
    FROM adjacent_range AS range
    JOIN mart_daily_city_weather AS mart ON mart.city_id = range.city_id AND date BETWEEN first_day AND last_day
    WHERE precipitation_mm IS NOT NULL
), running AS (
    SELECT city_id, date, is_recomputed, is_later,
        sum(precipitation_mm) OVER (PARTITION BY city_id ORDER BY date) AS total
    FROM rain
)
SELECT *
FROM (
    SELECT
        city_id,
        date,
        is_recomputed,
        is_later,
        CASE WHEN lag(date, 6) OVER days = date - 6 THEN trim_scale(total - lag(total, 7, 0.0) OVER days) END
            AS rain_7_days_mm,
        CASE WHEN lag(date, 29) OVER days = date - 29 THEN trim_scale(total - lag(total, 30, 0.0) OVER days) END
            AS rain_30_days_mm,
        CASE WHEN lag(date, 89) OVER days = date - 89 THEN trim_scale(total - lag(total, 90, 0.0) OVER days) END
            AS rain_90_days_mm
    FROM running
    WINDOW days AS (PARTITION BY city_id ORDER BY date)
) AS rolling
WHERE is_recomputed OR is_later;

-- The recomputed days that differ from the mart, with what they contributed to the summary before.
CREATE TEMPORARY TABLE changed_day ON COMMIT DROP AS
SELECT
    new.*,
    old.city_id IS NOT NULL AS is_stored,
    old.hours_observed AS old_hours_observed,
    old.avg_humidity AS old_avg_humidity,
    old.hours_humidity AS old_hours_humidity
FROM (
    SELECT recomputed_day.*, rain_7_days_mm, rain_30_days_mm, rain_90_days_mm
    FROM recomputed_day
    LEFT JOIN rolling_rain USING (city_id, date)
) AS new
LEFT JOIN mart_daily_city_weather AS old USING (city_id, date)
WHERE old.city_id IS NULL
    OR (old.city, old.avg_temperature_c, old.min_temperature_c, old.max_temperature_c, old.temperature_range_c,
        old.avg_humidity, old.min_humidity, old.max_humidity, old.max_heat_index_c, old.hours_heat_caution,
        old.hours_heat_extreme_caution, old.hours_heat_danger, old.hours_heat_extreme_danger, old.precipitation_mm,
        old.rain_7_days_mm, old.rain_30_days_mm, old.rain_90_days_mm, old.max_wind_speed_kmh, old.max_uv_index,
        old.dominant_condition, old.hours_observed, old.hours_expected, old.hours_forecast, old.hours_archive,
        old.hours_humidity, old.population, old.area_km2)
    IS DISTINCT FROM
    (new.city, new.avg_temperature_c, new.min_temperature_c, new.max_temperature_c, new.temperature_range_c,
        new.avg_humidity, new.min_humidity, new.max_humidity, new.max_heat_index_c, new.hours_heat_caution,
        new.hours_heat_extreme_caution, new.hours_heat_danger, new.hours_heat_extreme_danger, new.precipitation_mm,
        new.rain_7_days_mm, new.rain_30_days_mm, new.rain_90_days_mm, new.max_wind_speed_kmh, new.max_uv_index,
        new.dominant_condition, new.hours_observed, new.hours_expected, new.hours_forecast, new.hours_archive,
        new.hours_humidity, new.population, new.area_km2);
