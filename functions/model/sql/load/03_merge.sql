-- Incoming hours into staging_weather. Each value is the non-null one of highest precedence among all that were ever
-- loaded: archive over forecast, then the later fetched_at, then the greater run_id.

-- The hours for which responses of higher precedence were loaded before, and the columns in which those have values.
-- Nearly always none: only a response that is loaded late, or a forecast beside the archive, finds some.
CREATE TEMPORARY TABLE higher_precedence ON COMMIT DROP AS
SELECT response.city_id, hour.observed_at, bit_or(hour.filled) AS filled
FROM incoming_response AS response
JOIN staging_coverage AS coverage
    ON coverage.city_id = response.city_id
    AND coverage.last_hour >= response.first_hour
    AND coverage.first_hour <= response.last_hour
    AND (coverage.source = 'archive', coverage.fetched_at, coverage.run_id)
        > (response.source = 'archive', response.fetched_at, response.run_id)
CROSS JOIN LATERAL coverage_hours(coverage, response.first_hour, response.last_hour) AS hour
GROUP BY response.city_id, hour.observed_at;
-- The planner takes an empty table for a large one until it is analysed.
ANALYZE higher_precedence;

-- The rows as they become, where that differs from the stored row. A row with the same values is written all the same
-- when its source changes or its hour has passed since it was a forecast: both are shown.
--
-- A row's origin is the response that its temperature comes from, so that an hour does not count as observed because a
-- later response had no value for it. Without any temperature it is the response of highest precedence that has a
-- value, without any value that of highest precedence.
CREATE TEMPORARY TABLE changed_hour ON COMMIT DROP AS
SELECT
    city_id,
    observed_at,
    old.city_id IS NOT NULL AS is_stored,
    old.source AS old_source,
    old.temperature_c AS old_temperature_c,
    old.humidity AS old_humidity,
    old.wind_speed_kmh AS old_wind_speed_kmh,
    new.*,
    CASE WHEN is_top THEN response.source ELSE old.source END AS source,
    CASE WHEN is_top THEN response.fetched_at ELSE old.fetched_at END AS fetched_at,
    CASE WHEN is_top THEN response.run_id ELSE old.run_id END AS run_id,
    CASE WHEN is_top THEN response.raw_key ELSE old.raw_key END AS raw_key
FROM incoming
JOIN incoming_response AS response USING (city_id)
-- one scan of the primary key for each city, not one for each hour
LEFT JOIN (
    SELECT stored.*
    FROM incoming_response AS range
    CROSS JOIN LATERAL (
        SELECT *
        FROM staging_weather AS hour
        WHERE hour.city_id = range.city_id AND observed_at BETWEEN first_hour AND last_hour
        OFFSET 0
    ) AS stored
) AS old USING (city_id, observed_at)
LEFT JOIN higher_precedence AS higher USING (city_id, observed_at)
CROSS JOIN LATERAL (
    SELECT
        (incoming.temperature_c IS NOT NULL)::integer + 2 * (incoming.humidity IS NOT NULL)::integer
            + 4 * (incoming.weather_code IS NOT NULL)::integer + 8 * (incoming.precipitation_mm IS NOT NULL)::integer
            + 16 * (incoming.wind_speed_kmh IS NOT NULL)::integer + 32 * (incoming.uv_index IS NOT NULL)::integer
            AS incoming_filled,
        coalesce(higher.filled, 0::smallint)::integer AS higher_filled,
        CASE
            WHEN old.temperature_c IS NOT NULL THEN 2
            WHEN coalesce(old.humidity, old.weather_code, old.precipitation_mm, old.wind_speed_kmh, old.uv_index)
                IS NOT NULL THEN 1
            ELSE 0
        END AS old_rank
) AS bits
CROSS JOIN LATERAL (
    SELECT
        incoming_filled & ~higher_filled AS wins,
        CASE WHEN incoming_filled & 1 > 0 THEN 2 WHEN incoming_filled > 0 THEN 1 ELSE 0 END AS incoming_rank
) AS ranks
CROSS JOIN LATERAL (
    SELECT old.city_id IS NULL OR incoming_rank > old_rank OR incoming_rank = old_rank AND CASE incoming_rank
        WHEN 2 THEN higher_filled & 1 = 0
        WHEN 1 THEN higher_filled = 0
        ELSE higher.city_id IS NULL
    END AS is_top
) AS origin
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN wins & 1 > 0 THEN incoming.temperature_c ELSE old.temperature_c END AS temperature_c,
        CASE WHEN wins & 2 > 0 THEN incoming.humidity ELSE old.humidity END AS humidity,
        CASE WHEN wins & 4 > 0 THEN incoming.weather_code ELSE old.weather_code END AS weather_code,
        CASE WHEN wins & 4 > 0 THEN incoming.condition ELSE old.condition END AS condition,
        CASE WHEN wins & 8 > 0 THEN incoming.precipitation_mm ELSE old.precipitation_mm END AS precipitation_mm,
        CASE WHEN wins & 16 > 0 THEN incoming.wind_speed_kmh ELSE old.wind_speed_kmh END AS wind_speed_kmh,
        CASE WHEN wins & 32 > 0 THEN incoming.uv_index ELSE old.uv_index END AS uv_index
) AS new
WHERE
    -- Implied by the condition below, and cheaper: an hour that equals the stored one in all of this stays as it is,
    -- whichever response wins.
    (
        old.city_id IS NULL
        OR (incoming.temperature_c, incoming.humidity, incoming.weather_code, incoming.condition,
            incoming.precipitation_mm, incoming.wind_speed_kmh, incoming.uv_index,
            response.source, response.fetched_at < observed_at)
            IS DISTINCT FROM
            (old.temperature_c, old.humidity, old.weather_code, old.condition,
            old.precipitation_mm, old.wind_speed_kmh, old.uv_index,
            old.source, old.fetched_at < observed_at)
    )
    AND (
        old.city_id IS NULL
        OR (new.temperature_c, new.humidity, new.weather_code, new.condition, new.precipitation_mm, new.wind_speed_kmh, new.uv_index)
            IS DISTINCT FROM
            (old.temperature_c, old.humidity, old.weather_code, old.condition, old.precipitation_mm, old.wind_speed_kmh, old.uv_index)
        OR is_top AND (response.source, response.fetched_at < observed_at) IS DISTINCT FROM (old.source, old.fetched_at < observed_at)
    );

-- An object that has an hour twice is rejected here.
ALTER TABLE changed_hour ADD PRIMARY KEY (city_id, observed_at);

INSERT INTO staging_weather (city_id, observed_at, temperature_c, humidity, weather_code, condition, precipitation_mm,
    wind_speed_kmh, uv_index, source, fetched_at, run_id, raw_key)
SELECT city_id, observed_at, temperature_c, humidity, weather_code, condition, precipitation_mm,
    wind_speed_kmh, uv_index, source, fetched_at, run_id, raw_key
FROM changed_hour
WHERE NOT is_stored;

UPDATE staging_weather AS hour
SET temperature_c = changed_hour.temperature_c, humidity = changed_hour.humidity, weather_code = changed_hour.weather_code,
    condition = changed_hour.condition, precipitation_mm = changed_hour.precipitation_mm,
    wind_speed_kmh = changed_hour.wind_speed_kmh, uv_index = changed_hour.uv_index, source = changed_hour.source,
    fetched_at = changed_hour.fetched_at, run_id = changed_hour.run_id, raw_key = changed_hour.raw_key
FROM changed_hour
WHERE hour.city_id = changed_hour.city_id AND hour.observed_at = changed_hour.observed_at AND changed_hour.is_stored;

INSERT INTO affected (city_id, days)
SELECT DISTINCT city_id, daterange(date, date, '[]')
FROM (
    SELECT city_id, (observed_at AT TIME ZONE timezone)::date AS date
    FROM changed_hour
    JOIN dim_city AS city USING (city_id)
) AS changed_day;
