-- The affected city-days as staging_weather now gives them. A day is the city's local day: an hour belongs to the day of
-- its local date, which stays right across clock changes.

-- Consecutive days of a city are one range of hours: each range is read from staging once.
CREATE TEMPORARY TABLE affected_range ON COMMIT DROP AS
SELECT
    row_number() OVER ()::integer AS id, city_id, city.timezone, days, lower(days) AS first_day, upper(days) - 1 AS last_day,
    -- A local day is within 14 hours before and 12 hours after the UTC day of the same date.
    lower(days)::timestamp AT TIME ZONE 'UTC' - interval '14 hours' AS first_hour,
    upper(days)::timestamp AT TIME ZONE 'UTC' + interval '12 hours' AS last_hour
FROM (SELECT city_id, unnest(range_agg(days)) AS days FROM affected GROUP BY city_id) AS island
JOIN dim_city AS city USING (city_id);
-- Without the number of ranges the planner takes them for thousands.
ANALYZE affected_range;

CREATE TEMPORARY TABLE recomputed_day ON COMMIT DROP AS
WITH daily AS (
    SELECT
        id,
        date,
        trim_scale(sum(temperature_c) / nullif(count(temperature_c), 0)) AS avg_temperature_c,
        min(temperature_c) AS min_temperature_c,
        max(temperature_c) AS max_temperature_c,
        trim_scale(sum(humidity) / nullif(count(humidity), 0)) AS avg_humidity,
        sum(precipitation_mm) AS precipitation_mm,
        max(wind_speed_kmh) AS max_wind_speed_kmh,
        max(uv_index) AS max_uv_index,
        -- the most frequent; mode() takes the first of equals: the more severe, which is the greater WMO code
        mode() WITHIN GROUP (ORDER BY weather_code DESC) AS dominant_code,
        count(temperature_c)::smallint AS hours_observed,
        (count(*) FILTER (WHERE is_forecast))::smallint AS hours_forecast,
        count(humidity)::smallint AS hours_humidity
    FROM affected_range AS range
    CROSS JOIN LATERAL (
        -- each range through the primary key: in a large table few ranges are a small part, which no statistics show
        SELECT
            (observed_at AT TIME ZONE range.timezone)::date AS date, temperature_c, humidity, weather_code,
            precipitation_mm, wind_speed_kmh, uv_index, observed_at > fetched_at AS is_forecast
        FROM staging_weather AS hour
        WHERE hour.city_id = range.city_id AND observed_at >= range.first_hour AND observed_at < range.last_hour
        OFFSET 0
    ) AS local_hour
    WHERE date >= first_day AND date <= last_day
    GROUP BY id, date
), calendar AS (
    -- How many hours each local day has: 23, 24 or 25.
    SELECT timezone, date, count(*)::smallint AS hours_expected
    FROM (SELECT DISTINCT timezone, date FROM daily JOIN affected_range USING (id)) AS local_day
    CROSS JOIN LATERAL generate_series(
        date::timestamp AT TIME ZONE 'UTC' - interval '14 hours',
        date::timestamp AT TIME ZONE 'UTC' + interval '36 hours',
        interval '1 hour'
    ) AS utc_hour
    WHERE (utc_hour AT TIME ZONE timezone)::date = date
    GROUP BY timezone, date
)
SELECT
    city_id, city.city, daily.date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm,
    max_wind_speed_kmh, max_uv_index, %(conditions)s::jsonb ->> dominant_code::text AS dominant_condition,
    hours_observed, hours_expected, hours_forecast, hours_humidity, city.population, city.area_km2
FROM daily
JOIN affected_range USING (id)
JOIN dim_city AS city USING (city_id)
JOIN calendar ON calendar.timezone = city.timezone AND calendar.date = daily.date;

-- Those that differ from the mart, with what they contributed to the summary before.
CREATE TEMPORARY TABLE changed_day ON COMMIT DROP AS
SELECT
    new.*,
    old.city_id IS NOT NULL AS is_stored,
    old.hours_observed AS old_hours_observed,
    old.avg_humidity AS old_avg_humidity,
    old.hours_humidity AS old_hours_humidity
FROM recomputed_day AS new
LEFT JOIN mart_daily_city_weather AS old USING (city_id, date)
WHERE old.city_id IS NULL
    OR (old.city, old.avg_temperature_c, old.min_temperature_c, old.max_temperature_c, old.avg_humidity,
        old.precipitation_mm, old.max_wind_speed_kmh, old.max_uv_index, old.dominant_condition, old.hours_observed,
        old.hours_expected, old.hours_forecast, old.hours_humidity, old.population, old.area_km2)
    IS DISTINCT FROM
    (new.city, new.avg_temperature_c, new.min_temperature_c, new.max_temperature_c, new.avg_humidity,
        new.precipitation_mm, new.max_wind_speed_kmh, new.max_uv_index, new.dominant_condition, new.hours_observed,
        new.hours_expected, new.hours_forecast, new.hours_humidity, new.population, new.area_km2);
