-- The daily mart gains the range of humidity and temperature, the heat index, the hours from the archive, and the rain
-- of the last 7, 30 and 90 days.

-- The heat index: Rothfusz 1990, "The heat index equation", NWS Technical Attachment SR 90-23, as the United States
-- weather service applies it (https://www.wpc.ncep.noaa.gov/html/heatindex_equation.shtml). Temperatures are in °F where
-- a name ends with _f, relative humidity is in percent, 0 to 100.

-- The regression, its terms grouped by the powers of the temperature, which halves the multiplications. It is a fit to
-- Steadman's table of 1979, within 1.3 °F between 80 and 112 °F; beyond these it is an extrapolation.
CREATE FUNCTION heat_index_regression_f(temperature_f numeric, humidity numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT -42.379 + humidity * (10.14333127 - 0.05481717 * humidity)
        + temperature_f * (
            2.04901523 + humidity * (0.00085282 * humidity - 0.22475541)
            + temperature_f * (humidity * (0.00122874 - 0.00000199 * humidity) - 0.00683783)
        )
$$;

-- What humid or dry air changes it by.
CREATE FUNCTION heat_index_adjustment_f(temperature_f numeric, humidity numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN humidity > 85 AND temperature_f BETWEEN 80 AND 87
            THEN (humidity - 85) / 10 * ((87 - temperature_f) / 5)
        WHEN humidity < 13 AND temperature_f BETWEEN 80 AND 112
            THEN (humidity - 13) / 4 * sqrt((17 - abs(temperature_f - 95)) / 17)
        ELSE 0
    END
$$;

-- The heat index in °F, null if temperature or humidity is null: the temperature itself up to 40 °F; the mean of the
-- temperature and Steadman's simple index, 1.1 T - 10.3 + 0.047 RH, while that is below 79 °F; else the regression. These
-- limits, and an adjustment in dry air also below 79 °F, are MetPy's, after the weather service's calculator as Anderson
-- et al. 2013 describe it (https://doi.org/10.1289/ehp.1206273, figure 3); the service's text names 80 °F instead.
CREATE FUNCTION heat_index_f(temperature_c numeric, humidity numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        -- implied by the cases below up to 100 % humidity, and most hours are decided here
        WHEN temperature_c BETWEEN 4.5 AND 24.9 THEN 1.98 * temperature_c + 0.047 * humidity + 24.9
        WHEN humidity IS NULL THEN NULL
        WHEN 9 * temperature_c <= 40 THEN 1.8 * temperature_c + 32
        WHEN 1.98 * temperature_c + 0.047 * humidity < 54.1
            THEN 1.98 * temperature_c + 0.047 * humidity + 24.9
                + heat_index_adjustment_f(1.8 * temperature_c + 32, humidity)
        ELSE heat_index_regression_f(1.8 * temperature_c + 32, humidity)
            + heat_index_adjustment_f(1.8 * temperature_c + 32, humidity)
    END
$$;

ALTER TABLE mart_daily_city_weather
    ADD min_humidity numeric,
    ADD max_humidity numeric,
    ADD temperature_range_c numeric,
    ADD max_heat_index_c numeric,
    -- hours with a heat index of at least 80, 90, 103 and 125 °F
    ADD hours_heat_caution smallint,
    ADD hours_heat_extreme_caution smallint,
    ADD hours_heat_danger smallint,
    ADD hours_heat_extreme_danger smallint,
    ADD hours_archive smallint,
    -- of so many days up to and including this one; null if one of them has no rain value
    ADD rain_7_days_mm numeric,
    ADD rain_30_days_mm numeric,
    ADD rain_90_days_mm numeric;

SET LOCAL jit = off;
SET LOCAL work_mem = '128MB';

WITH daily AS (
    SELECT
        city_id,
        (observed_at AT TIME ZONE timezone)::date AS date,
        min(humidity) AS min_humidity,
        max(humidity) AS max_humidity,
        max(heat_index_f) AS max_heat_index_f,
        count(*) FILTER (WHERE heat_index_f >= 80) AS hours_heat_caution,
        count(*) FILTER (WHERE heat_index_f >= 90) AS hours_heat_extreme_caution,
        count(*) FILTER (WHERE heat_index_f >= 103) AS hours_heat_danger,
        count(*) FILTER (WHERE heat_index_f >= 125) AS hours_heat_extreme_danger,
        count(*) FILTER (WHERE source = 'archive') AS hours_archive
    FROM (
        SELECT city_id, observed_at, humidity, source, heat_index_f(temperature_c, humidity) AS heat_index_f
        FROM staging_weather
        OFFSET 0
    ) AS hour
    JOIN dim_city USING (city_id)
    GROUP BY city_id, date
), running AS (
    SELECT city_id, date, sum(precipitation_mm) OVER (PARTITION BY city_id ORDER BY date) AS total
    FROM mart_daily_city_weather
    WHERE precipitation_mm IS NOT NULL
), rain AS (
    SELECT
        city_id,
        date,
        CASE WHEN lag(date, 6) OVER days = date - 6 THEN trim_scale(total - lag(total, 7, 0.0) OVER days) END
            AS rain_7_days_mm,
        CASE WHEN lag(date, 29) OVER days = date - 29 THEN trim_scale(total - lag(total, 30, 0.0) OVER days) END
            AS rain_30_days_mm,
        CASE WHEN lag(date, 89) OVER days = date - 89 THEN trim_scale(total - lag(total, 90, 0.0) OVER days) END
            AS rain_90_days_mm
    FROM running
    WINDOW days AS (PARTITION BY city_id ORDER BY date)
)
UPDATE mart_daily_city_weather AS mart
SET min_humidity = daily.min_humidity,
    max_humidity = daily.max_humidity,
    temperature_range_c = mart.max_temperature_c - mart.min_temperature_c,
    max_heat_index_c = round((max_heat_index_f - 32) / 1.8, 1),
    hours_heat_caution = coalesce(daily.hours_heat_caution, 0),
    hours_heat_extreme_caution = coalesce(daily.hours_heat_extreme_caution, 0),
    hours_heat_danger = coalesce(daily.hours_heat_danger, 0),
    hours_heat_extreme_danger = coalesce(daily.hours_heat_extreme_danger, 0),
    hours_archive = coalesce(daily.hours_archive, 0),
    rain_7_days_mm = rain.rain_7_days_mm,
    rain_30_days_mm = rain.rain_30_days_mm,
    rain_90_days_mm = rain.rain_90_days_mm
FROM mart_daily_city_weather AS stored
LEFT JOIN daily USING (city_id, date)
LEFT JOIN rain USING (city_id, date)
WHERE mart.city_id = stored.city_id AND mart.date = stored.date;

ALTER TABLE mart_daily_city_weather
    ALTER hours_heat_caution SET NOT NULL,
    ALTER hours_heat_extreme_caution SET NOT NULL,
    ALTER hours_heat_danger SET NOT NULL,
    ALTER hours_heat_extreme_danger SET NOT NULL,
    ALTER hours_archive SET NOT NULL;
