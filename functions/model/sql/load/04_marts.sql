-- Recomputes the affected city-days from staging_weather, and the summary of their cities. An hour belongs to the
-- local day of its local date, which is correct across clock changes too.
ANALYZE affected_city_day;

-- The expected hours of each local day. It starts at most 14 hours before and ends at most 12 hours after the UTC day of
-- the same date.
CREATE TEMPORARY TABLE calendar ON COMMIT DROP AS
SELECT timezone, date, count(*)::smallint AS hours_expected
FROM (SELECT DISTINCT city.timezone, affected.date FROM affected_city_day AS affected JOIN dim_city AS city USING (city_id)) AS local_day
CROSS JOIN LATERAL generate_series(
    date::timestamp AT TIME ZONE 'UTC' - interval '14 hours',
    date::timestamp AT TIME ZONE 'UTC' + interval '36 hours',
    interval '1 hour'
) AS utc_hour
WHERE (utc_hour AT TIME ZONE timezone)::date = date
GROUP BY timezone, date;

CREATE TEMPORARY TABLE daily_aggregate ON COMMIT DROP AS
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
    FROM affected_city_day AS affected
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
    -- the most frequent one; of equally frequent ones the most severe, which has the greatest WMO code
    (array_agg(condition ORDER BY hours DESC, weather_code DESC) FILTER (WHERE weather_code IS NOT NULL))[1]
        AS dominant_condition,
    sum(hours_observed)::smallint AS hours_observed,
    sum(hours_forecast)::smallint AS hours_forecast,
    sum(hours_humidity)::smallint AS hours_humidity
FROM by_code
GROUP BY city_id, date;

-- Without statistics the planner assumes that temporary tables are small, and joins ten thousand cities row by row.
ANALYZE calendar;
ANALYZE daily_aggregate;

CREATE TEMPORARY TABLE recomputed_day ON COMMIT DROP AS
SELECT
    city_id, city.city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm,
    max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, hours_expected, hours_forecast, hours_humidity,
    city.population, city.area_km2
FROM daily_aggregate
JOIN dim_city AS city USING (city_id)
JOIN calendar USING (timezone, date);
ANALYZE recomputed_day;

-- A city-day has no hours any more if the time zone of its city changed.
DELETE FROM mart_daily_city_weather AS mart
USING affected_city_day AS affected
WHERE mart.city_id = affected.city_id AND mart.date = affected.date
    AND NOT EXISTS (SELECT FROM recomputed_day AS new WHERE new.city_id = mart.city_id AND new.date = mart.date);

MERGE INTO mart_daily_city_weather AS mart
USING recomputed_day AS new ON mart.city_id = new.city_id AND mart.date = new.date
WHEN MATCHED AND
    (mart.city, mart.avg_temperature_c, mart.min_temperature_c, mart.max_temperature_c, mart.avg_humidity,
        mart.precipitation_mm, mart.max_wind_speed_kmh, mart.max_uv_index, mart.dominant_condition, mart.hours_observed,
        mart.hours_expected, mart.hours_forecast, mart.hours_humidity, mart.population, mart.area_km2)
    IS DISTINCT FROM
    (new.city, new.avg_temperature_c, new.min_temperature_c, new.max_temperature_c, new.avg_humidity,
        new.precipitation_mm, new.max_wind_speed_kmh, new.max_uv_index, new.dominant_condition, new.hours_observed,
        new.hours_expected, new.hours_forecast, new.hours_humidity, new.population, new.area_km2)
THEN
    UPDATE SET city = new.city, avg_temperature_c = new.avg_temperature_c,
        min_temperature_c = new.min_temperature_c, max_temperature_c = new.max_temperature_c,
        avg_humidity = new.avg_humidity, precipitation_mm = new.precipitation_mm,
        max_wind_speed_kmh = new.max_wind_speed_kmh, max_uv_index = new.max_uv_index,
        dominant_condition = new.dominant_condition, hours_observed = new.hours_observed,
        hours_expected = new.hours_expected, hours_forecast = new.hours_forecast,
        hours_humidity = new.hours_humidity, population = new.population, area_km2 = new.area_km2,
        updated_at = now(), run_id = %(run_id)s
WHEN NOT MATCHED THEN
    INSERT (city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c, avg_humidity, precipitation_mm,
        max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed, hours_expected, hours_forecast,
        hours_humidity, population, area_km2, run_id)
    VALUES (new.city_id, new.city, new.date, new.avg_temperature_c, new.min_temperature_c,
        new.max_temperature_c, new.avg_humidity, new.precipitation_mm, new.max_wind_speed_kmh,
        new.max_uv_index, new.dominant_condition, new.hours_observed, new.hours_expected,
        new.hours_forecast, new.hours_humidity, new.population, new.area_km2, %(run_id)s);

CREATE TEMPORARY TABLE recomputed_summary ON COMMIT DROP AS
SELECT
    city_id,
    city.city,
    count(*) FILTER (WHERE hours_observed > 0)::integer AS total_days_recorded,
    max(max_temperature_c) AS highest_temperature_c,
    -- the first of several days with the same extreme
    (array_agg(date ORDER BY max_temperature_c DESC, date) FILTER (WHERE max_temperature_c IS NOT NULL))[1] AS highest_temperature_date,
    min(min_temperature_c) AS lowest_temperature_c,
    (array_agg(date ORDER BY min_temperature_c, date) FILTER (WHERE min_temperature_c IS NOT NULL))[1] AS lowest_temperature_date,
    -- weighted by hours, so that a day of two hours counts less than one of 24
    trim_scale(sum(avg_humidity * hours_humidity) / nullif(sum(hours_humidity), 0)) AS average_humidity,
    min(date) FILTER (WHERE hours_observed > 0) AS first_day,
    max(date) FILTER (WHERE hours_observed > 0) AS last_day
FROM mart_daily_city_weather AS mart
JOIN dim_city AS city USING (city_id)
WHERE city_id IN (SELECT city_id FROM affected_city_day)
GROUP BY city_id, city.city;

DELETE FROM mart_city_weather_summary
WHERE city_id IN (SELECT city_id FROM affected_city_day) AND city_id NOT IN (SELECT city_id FROM recomputed_summary);

MERGE INTO mart_city_weather_summary AS summary
USING recomputed_summary AS new ON summary.city_id = new.city_id
WHEN MATCHED AND summary IS DISTINCT FROM new THEN
    UPDATE SET city = new.city, total_days_recorded = new.total_days_recorded,
        highest_temperature_c = new.highest_temperature_c, highest_temperature_date = new.highest_temperature_date,
        lowest_temperature_c = new.lowest_temperature_c, lowest_temperature_date = new.lowest_temperature_date,
        average_humidity = new.average_humidity, first_day = new.first_day, last_day = new.last_day
WHEN NOT MATCHED THEN
    INSERT VALUES (new.city_id, new.city, new.total_days_recorded, new.highest_temperature_c,
        new.highest_temperature_date, new.lowest_temperature_c, new.lowest_temperature_date,
        new.average_humidity, new.first_day, new.last_day);
