-- The affected city-days, made again from staging_weather, and the summary of their cities. A day is the
-- city's local day: hours belong to it by their local date, which stays right across clock changes.
ANALYZE affected;

-- How many hours each of their days has. A local day lies within 14 hours before and 12 hours after the UTC day of the
-- same date.
CREATE TEMPORARY TABLE calendar ON COMMIT DROP AS
SELECT timezone, date, count(*)::smallint AS hours_expected
FROM (SELECT DISTINCT city.timezone, affected.date FROM affected JOIN dim_city AS city USING (city_id)) AS local_day
CROSS JOIN LATERAL generate_series(
    date::timestamp AT TIME ZONE 'UTC' - interval '14 hours',
    date::timestamp AT TIME ZONE 'UTC' + interval '36 hours',
    interval '1 hour'
) AS utc_hour
WHERE (utc_hour AT TIME ZONE timezone)::date = date
GROUP BY timezone, date;

CREATE TEMPORARY TABLE daily ON COMMIT DROP AS
WITH by_code AS (
    SELECT
        affected.city_id,
        affected.date,
        weather_code,
        max(condition) AS condition,
        count(*) AS hours,
        sum(temperature_c) AS sum_temperature_c,
        min(temperature_c) AS min_temperature_c,
        max(temperature_c) AS max_temperature_c,
        sum(humidity) AS sum_humidity,
        sum(precipitation_mm) AS precipitation_mm,
        max(wind_speed_kmh) AS max_wind_speed_kmh,
        max(uv_index) AS max_uv_index,
        count(temperature_c) AS hours_observed,
        count(*) FILTER (WHERE observed_at > fetched_at) AS hours_forecast,
        count(humidity) AS hours_humidity
    FROM affected
    JOIN dim_city AS city USING (city_id)
    JOIN staging_weather
        ON staging_weather.city_id = affected.city_id
        AND staging_weather.observed_at >= affected.date::timestamp AT TIME ZONE 'UTC' - interval '14 hours'
        AND staging_weather.observed_at <= affected.date::timestamp AT TIME ZONE 'UTC' + interval '36 hours'
        AND (staging_weather.observed_at AT TIME ZONE city.timezone)::date = affected.date
    GROUP BY affected.city_id, affected.date, weather_code
)
SELECT
    city_id,
    date,
    trim_scale(sum(sum_temperature_c) / nullif(sum(hours_observed), 0)) AS avg_temperature_c,
    min(min_temperature_c) AS min_temperature_c,
    max(max_temperature_c) AS max_temperature_c,
    trim_scale(sum(sum_humidity) / nullif(sum(hours_humidity), 0)) AS avg_humidity,
    sum(precipitation_mm) AS precipitation_mm,
    max(max_wind_speed_kmh) AS max_wind_speed_kmh,
    max(max_uv_index) AS max_uv_index,
    -- the most frequent; of equals the more severe, which is the greater WMO code
    (array_agg(condition ORDER BY hours DESC, weather_code DESC) FILTER (WHERE weather_code IS NOT NULL))[1]
        AS dominant_condition,
    sum(hours_observed)::smallint AS hours_observed,
    sum(hours_forecast)::smallint AS hours_forecast,
    sum(hours_humidity)::smallint AS hours_humidity
FROM by_code
GROUP BY city_id, date;

-- Without their sizes the planner takes tables made here for small, and joins ten thousand cities row by row.
ANALYZE calendar;
ANALYZE daily;

CREATE TEMPORARY TABLE fresh ON COMMIT DROP AS
SELECT
    city_id, city.city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm,
    max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, hours_expected, hours_forecast, hours_humidity,
    city.population, city.area_km2
FROM daily
JOIN dim_city AS city USING (city_id)
JOIN calendar USING (timezone, date);
ANALYZE fresh;

-- A day without hours is left over when a city's zone has changed.
DELETE FROM mart_daily_city_weather AS mart
USING affected
WHERE mart.city_id = affected.city_id AND mart.date = affected.date
    AND NOT EXISTS (SELECT FROM fresh WHERE fresh.city_id = mart.city_id AND fresh.date = mart.date);

MERGE INTO mart_daily_city_weather AS mart
USING fresh ON mart.city_id = fresh.city_id AND mart.date = fresh.date
WHEN MATCHED AND
    (mart.city, mart.avg_temperature_c, mart.min_temperature_c, mart.max_temperature_c, mart.avg_humidity,
        mart.precipitation_mm, mart.max_wind_speed_kmh, mart.max_uv_index, mart.dominant_condition, mart.hours_observed,
        mart.hours_expected, mart.hours_forecast, mart.hours_humidity, mart.population, mart.area_km2)
    IS DISTINCT FROM
    (fresh.city, fresh.avg_temperature_c, fresh.min_temperature_c, fresh.max_temperature_c, fresh.avg_humidity,
        fresh.precipitation_mm, fresh.max_wind_speed_kmh, fresh.max_uv_index, fresh.dominant_condition, fresh.hours_observed,
        fresh.hours_expected, fresh.hours_forecast, fresh.hours_humidity, fresh.population, fresh.area_km2)
THEN
    UPDATE SET city = fresh.city, avg_temperature_c = fresh.avg_temperature_c,
        min_temperature_c = fresh.min_temperature_c, max_temperature_c = fresh.max_temperature_c,
        avg_humidity = fresh.avg_humidity, precipitation_mm = fresh.precipitation_mm,
        max_wind_speed_kmh = fresh.max_wind_speed_kmh, max_uv_index = fresh.max_uv_index,
        dominant_condition = fresh.dominant_condition, hours_observed = fresh.hours_observed,
        hours_expected = fresh.hours_expected, hours_forecast = fresh.hours_forecast,
        hours_humidity = fresh.hours_humidity, population = fresh.population, area_km2 = fresh.area_km2,
        updated_at = now(), run_id = %(run_id)s
WHEN NOT MATCHED THEN
    INSERT (city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm,
        max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, hours_expected, hours_forecast,
        hours_humidity, population, area_km2, run_id)
    VALUES (fresh.city_id, fresh.city, fresh.date, fresh.avg_temperature_c, fresh.min_temperature_c,
        fresh.max_temperature_c, fresh.avg_humidity, fresh.precipitation_mm, fresh.max_wind_speed_kmh,
        fresh.max_uv_index, fresh.dominant_condition, fresh.hours_observed, fresh.hours_expected,
        fresh.hours_forecast, fresh.hours_humidity, fresh.population, fresh.area_km2, %(run_id)s);

CREATE TEMPORARY TABLE fresh_summary ON COMMIT DROP AS
SELECT
    city_id,
    city.city,
    count(*) FILTER (WHERE hours_observed > 0)::integer AS total_days_recorded,
    max(max_temperature_c) AS highest_temperature_c,
    -- the first day of several with the same extreme
    (array_agg(date ORDER BY max_temperature_c DESC, date) FILTER (WHERE max_temperature_c IS NOT NULL))[1] AS highest_temperature_date,
    min(min_temperature_c) AS lowest_temperature_c,
    (array_agg(date ORDER BY min_temperature_c, date) FILTER (WHERE min_temperature_c IS NOT NULL))[1] AS lowest_temperature_date,
    -- over hours, so that a day of two hours does not weigh as much as one of 24
    trim_scale(sum(avg_humidity * hours_humidity) / nullif(sum(hours_humidity), 0)) AS average_humidity,
    min(date) FILTER (WHERE hours_observed > 0) AS first_day,
    max(date) FILTER (WHERE hours_observed > 0) AS last_day
FROM mart_daily_city_weather AS mart
JOIN dim_city AS city USING (city_id)
WHERE city_id IN (SELECT city_id FROM affected)
GROUP BY city_id, city.city;

DELETE FROM mart_city_weather_summary
WHERE city_id IN (SELECT city_id FROM affected) AND city_id NOT IN (SELECT city_id FROM fresh_summary);

MERGE INTO mart_city_weather_summary AS summary
USING fresh_summary AS fresh ON summary.city_id = fresh.city_id
WHEN MATCHED AND summary IS DISTINCT FROM fresh THEN
    UPDATE SET city = fresh.city, total_days_recorded = fresh.total_days_recorded,
        highest_temperature_c = fresh.highest_temperature_c, highest_temperature_date = fresh.highest_temperature_date,
        lowest_temperature_c = fresh.lowest_temperature_c, lowest_temperature_date = fresh.lowest_temperature_date,
        average_humidity = fresh.average_humidity, first_day = fresh.first_day, last_day = fresh.last_day
WHEN NOT MATCHED THEN
    INSERT VALUES (fresh.city_id, fresh.city, fresh.total_days_recorded, fresh.highest_temperature_c,
        fresh.highest_temperature_date, fresh.lowest_temperature_c, fresh.lowest_temperature_date,
        fresh.average_humidity, fresh.first_day, fresh.last_day);
