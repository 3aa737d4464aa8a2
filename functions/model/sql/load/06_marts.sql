-- The changed days into the daily mart, and what they change into the summary of their cities.
INSERT INTO mart_daily_city_weather (city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c,
    temperature_range_c, avg_humidity, min_humidity, max_humidity, max_heat_index_c, hours_heat_caution,
    hours_heat_extreme_caution, hours_heat_danger, hours_heat_extreme_danger, precipitation_mm, rain_7_days_mm,
    rain_30_days_mm, rain_90_days_mm, max_wind_speed_kmh, max_uv_index, dominant_condition, hours_observed,
    hours_expected, hours_forecast, hours_archive, hours_humidity, population, area_km2, run_id)
SELECT city_id, city, date, avg_temperature_c, min_temperature_c, max_temperature_c, temperature_range_c, avg_humidity,
    min_humidity, max_humidity, max_heat_index_c, hours_heat_caution, hours_heat_extreme_caution, hours_heat_danger,
    hours_heat_extreme_danger, precipitation_mm, rain_7_days_mm, rain_30_days_mm, rain_90_days_mm, max_wind_speed_kmh,
    max_uv_index, dominant_condition, hours_observed, hours_expected, hours_forecast, hours_archive, hours_humidity,
    population, area_km2, %(run_id)s
FROM changed_day
WHERE NOT is_stored;

UPDATE mart_daily_city_weather AS mart
SET city = new.city, avg_temperature_c = new.avg_temperature_c, min_temperature_c = new.min_temperature_c,
    max_temperature_c = new.max_temperature_c, temperature_range_c = new.temperature_range_c,
    avg_humidity = new.avg_humidity, min_humidity = new.min_humidity, max_humidity = new.max_humidity,
    max_heat_index_c = new.max_heat_index_c, hours_heat_caution = new.hours_heat_caution,
    hours_heat_extreme_caution = new.hours_heat_extreme_caution, hours_heat_danger = new.hours_heat_danger,
    hours_heat_extreme_danger = new.hours_heat_extreme_danger, precipitation_mm = new.precipitation_mm,
    rain_7_days_mm = new.rain_7_days_mm, rain_30_days_mm = new.rain_30_days_mm, rain_90_days_mm = new.rain_90_days_mm,
    max_wind_speed_kmh = new.max_wind_speed_kmh, max_uv_index = new.max_uv_index,
    dominant_condition = new.dominant_condition, hours_observed = new.hours_observed,
    hours_expected = new.hours_expected, hours_forecast = new.hours_forecast, hours_archive = new.hours_archive,
    hours_humidity = new.hours_humidity, population = new.population, area_km2 = new.area_km2, updated_at = now(),
    run_id = %(run_id)s
FROM changed_day AS new
WHERE mart.city_id = new.city_id AND mart.date = new.date AND new.is_stored;

-- Later days, whose sums have a changed or removed day.
UPDATE mart_daily_city_weather AS mart
SET rain_7_days_mm = new.rain_7_days_mm, rain_30_days_mm = new.rain_30_days_mm, rain_90_days_mm = new.rain_90_days_mm,
    updated_at = now(), run_id = %(run_id)s
FROM rolling_rain AS new
WHERE mart.city_id = new.city_id AND mart.date = new.date AND is_later
    AND (mart.rain_7_days_mm, mart.rain_30_days_mm, mart.rain_90_days_mm)
        IS DISTINCT FROM (new.rain_7_days_mm, new.rain_30_days_mm, new.rain_90_days_mm);

-- A city's extremes, sums and bounds follow from its summary and the changed days, except where the day of an extreme
-- has itself changed or a day has lost its last observed hour: then all its days are read.
WITH change AS (
    SELECT
        city_id,
        sum((hours_observed > 0)::integer - (coalesce(old_hours_observed, 0) > 0)::integer) AS days,
        sum(hours_humidity - coalesce(old_hours_humidity, 0)) AS hours_humidity,
        sum(coalesce(avg_humidity * hours_humidity, 0) - coalesce(old_avg_humidity * old_hours_humidity, 0))
            AS sum_humidity,
        max(max_temperature_c) AS highest_temperature_c,
        -- the first day of several with the same extreme
        (array_agg(date ORDER BY max_temperature_c DESC, date) FILTER (WHERE max_temperature_c IS NOT NULL))[1]
            AS highest_temperature_date,
        min(min_temperature_c) AS lowest_temperature_c,
        (array_agg(date ORDER BY min_temperature_c, date) FILTER (WHERE min_temperature_c IS NOT NULL))[1]
            AS lowest_temperature_date,
        min(date) FILTER (WHERE hours_observed > 0) AS first_day,
        max(date) FILTER (WHERE hours_observed > 0) AS last_day,
        array_agg(date) FILTER (WHERE is_stored) AS stored_days,
        bool_or(old_hours_observed > 0 AND hours_observed = 0) AS has_lost_day
    FROM changed_day
    GROUP BY city_id
), city_change AS (
    SELECT
        city_id, days, change.hours_humidity, change.sum_humidity, change.highest_temperature_c,
        change.highest_temperature_date, change.lowest_temperature_c, change.lowest_temperature_date, change.first_day,
        change.last_day,
        summary.city_id IS NULL OR summary.sum_humidity IS NULL OR has_lost_day IS TRUE
            OR stored_days && ARRAY[summary.highest_temperature_date, summary.lowest_temperature_date] IS TRUE
            AS is_scanned
    FROM (SELECT DISTINCT city_id FROM affected_range) AS city
    LEFT JOIN change USING (city_id)
    LEFT JOIN mart_city_weather_summary AS summary USING (city_id)
    WHERE change.city_id IS NOT NULL OR summary.city_id IS NULL
), scanned AS (
    SELECT
        city_id,
        count(*) FILTER (WHERE hours_observed > 0) AS days,
        coalesce(sum(hours_humidity), 0) AS hours_humidity,
        coalesce(sum(avg_humidity * hours_humidity), 0) AS sum_humidity,
        max(max_temperature_c) AS highest_temperature_c,
        (array_agg(date ORDER BY max_temperature_c DESC, date) FILTER (WHERE max_temperature_c IS NOT NULL))[1]
            AS highest_temperature_date,
        min(min_temperature_c) AS lowest_temperature_c,
        (array_agg(date ORDER BY min_temperature_c, date) FILTER (WHERE min_temperature_c IS NOT NULL))[1]
            AS lowest_temperature_date,
        min(date) FILTER (WHERE hours_observed > 0) AS first_day,
        max(date) FILTER (WHERE hours_observed > 0) AS last_day
    FROM mart_daily_city_weather
    WHERE city_id IN (SELECT city_id FROM city_change WHERE is_scanned)
    GROUP BY city_id
), updated AS (
    SELECT
        city_id,
        summary.total_days_recorded + change.days AS days,
        summary.hours_humidity + change.hours_humidity AS hours_humidity,
        summary.sum_humidity + change.sum_humidity AS sum_humidity,
        greatest(summary.highest_temperature_c, change.highest_temperature_c) AS highest_temperature_c,
        CASE
            WHEN change.highest_temperature_c > summary.highest_temperature_c THEN change.highest_temperature_date
            WHEN change.highest_temperature_c = summary.highest_temperature_c
                THEN least(summary.highest_temperature_date, change.highest_temperature_date)
            ELSE coalesce(summary.highest_temperature_date, change.highest_temperature_date)
        END AS highest_temperature_date,
        least(summary.lowest_temperature_c, change.lowest_temperature_c) AS lowest_temperature_c,
        CASE
            WHEN change.lowest_temperature_c < summary.lowest_temperature_c THEN change.lowest_temperature_date
            WHEN change.lowest_temperature_c = summary.lowest_temperature_c
                THEN least(summary.lowest_temperature_date, change.lowest_temperature_date)
            ELSE coalesce(summary.lowest_temperature_date, change.lowest_temperature_date)
        END AS lowest_temperature_date,
        least(summary.first_day, change.first_day) AS first_day,
        greatest(summary.last_day, change.last_day) AS last_day
    FROM city_change AS change
    JOIN mart_city_weather_summary AS summary USING (city_id)
    WHERE NOT is_scanned
), recomputed AS (
    SELECT
        city_id, city.city, days::integer AS total_days_recorded, highest_temperature_c, highest_temperature_date,
        lowest_temperature_c, lowest_temperature_date,
        -- over hours, so that a day of two hours does not weigh as much as one of 24
        trim_scale(trim_scale(sum_humidity) / nullif(hours_humidity, 0)) AS average_humidity,
        first_day, last_day, trim_scale(sum_humidity) AS sum_humidity, hours_humidity
    FROM (SELECT * FROM scanned UNION ALL SELECT * FROM updated) AS city_total
    JOIN dim_city AS city USING (city_id)
)
MERGE INTO mart_city_weather_summary AS summary
USING recomputed AS new ON summary.city_id = new.city_id
WHEN MATCHED AND
    (summary.city, summary.total_days_recorded, summary.highest_temperature_c, summary.highest_temperature_date,
        summary.lowest_temperature_c, summary.lowest_temperature_date, summary.average_humidity, summary.first_day,
        summary.last_day, summary.sum_humidity, summary.hours_humidity)
    IS DISTINCT FROM
    (new.city, new.total_days_recorded, new.highest_temperature_c, new.highest_temperature_date,
        new.lowest_temperature_c, new.lowest_temperature_date, new.average_humidity, new.first_day,
        new.last_day, new.sum_humidity, new.hours_humidity)
THEN
    UPDATE SET city = new.city, total_days_recorded = new.total_days_recorded,
        highest_temperature_c = new.highest_temperature_c, highest_temperature_date = new.highest_temperature_date,
        lowest_temperature_c = new.lowest_temperature_c, lowest_temperature_date = new.lowest_temperature_date,
        average_humidity = new.average_humidity, first_day = new.first_day, last_day = new.last_day,
        sum_humidity = new.sum_humidity, hours_humidity = new.hours_humidity
WHEN NOT MATCHED THEN
    INSERT (city_id, city, total_days_recorded, highest_temperature_c, highest_temperature_date, lowest_temperature_c,
        lowest_temperature_date, average_humidity, first_day, last_day, sum_humidity, hours_humidity)
    VALUES (new.city_id, new.city, new.total_days_recorded, new.highest_temperature_c, new.highest_temperature_date,
        new.lowest_temperature_c, new.lowest_temperature_date, new.average_humidity, new.first_day, new.last_day,
        new.sum_humidity, new.hours_humidity);
