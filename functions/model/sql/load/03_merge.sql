-- One answer into staging_weather. Each value is the non-null one of highest precedence among all that
-- were ever loaded: archive over forecast, then the later fetched_at, then the greater run_id.

ANALYZE incoming;

-- What answers of higher precedence, loaded before this one, have for its hours. Nearly always nothing:
-- only an answer that arrives late finds itself outranked. So those answers are looked for first, by
-- city, and hours are joined to what that leaves.
CREATE TEMPORARY TABLE outranking ON COMMIT DROP AS
WITH answer AS (
    SELECT city_id, source, fetched_at, run_id, min(observed_at) AS first_hour, max(observed_at) AS last_hour
    FROM incoming
    GROUP BY city_id, source, fetched_at, run_id
), higher AS MATERIALIZED (
    SELECT coverage.city_id, coverage.first_hour, coverage.last_hour, coverage.filled
    FROM answer
    JOIN staging_coverage AS coverage
        ON coverage.city_id = answer.city_id
        AND coverage.last_hour >= answer.first_hour
        AND coverage.first_hour <= answer.last_hour
        AND (coverage.source = 'archive', coverage.fetched_at, coverage.run_id)
            > (answer.source = 'archive', answer.fetched_at, answer.run_id)
)
SELECT incoming.city_id, incoming.observed_at, bit_or(higher.filled) AS filled
FROM incoming
JOIN higher
    ON higher.city_id = incoming.city_id
    AND incoming.observed_at BETWEEN higher.first_hour AND higher.last_hour
GROUP BY incoming.city_id, incoming.observed_at;

-- The rows as they become (5 and 5.0 are one value, written one way), where that differs from what is
-- there. A row with the same values is written all the same when its source changes or its hour has
-- passed since it was a forecast: both are shown.
--
-- A row's origin is the answer its temperature comes from, so that an hour is not taken for observed
-- because a later answer had nothing for it. Without any temperature it is the answer of highest
-- precedence that has a value, without any value that of highest precedence.
CREATE TEMPORARY TABLE changed ON COMMIT DROP AS
SELECT
    city_id,
    observed_at,
    new.*,
    CASE WHEN is_top THEN incoming.source ELSE old.source END AS source,
    CASE WHEN is_top THEN incoming.fetched_at ELSE old.fetched_at END AS fetched_at,
    CASE WHEN is_top THEN incoming.run_id ELSE old.run_id END AS run_id,
    CASE WHEN is_top THEN incoming.raw_key ELSE old.raw_key END AS raw_key
FROM incoming
LEFT JOIN staging_weather AS old USING (city_id, observed_at)
LEFT JOIN outranking USING (city_id, observed_at)
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN incoming.filled & 1 > 0 THEN 2 WHEN incoming.filled > 0 THEN 1 ELSE 0 END AS incoming_says,
        CASE
            WHEN old.temperature_c IS NOT NULL THEN 2
            WHEN coalesce(old.humidity, old.weather_code, old.precipitation_mm, old.wind_speed_kmh, old.uv_index)
                IS NOT NULL THEN 1
            ELSE 0
        END AS old_says,
        coalesce(outranking.filled, 0::smallint) AS outranking_filled
) AS told
CROSS JOIN LATERAL (
    SELECT
        incoming.filled & ~outranking_filled AS wins,
        old.city_id IS NULL OR incoming_says > old_says OR incoming_says = old_says AND CASE incoming_says
            WHEN 2 THEN outranking_filled & 1 = 0
            WHEN 1 THEN outranking_filled = 0
            ELSE outranking.city_id IS NULL
        END AS is_top
) AS rank
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN wins & 1 > 0 THEN trim_scale(incoming.temperature_c) ELSE old.temperature_c END AS temperature_c,
        CASE WHEN wins & 2 > 0 THEN trim_scale(incoming.humidity) ELSE old.humidity END AS humidity,
        CASE WHEN wins & 4 > 0 THEN incoming.weather_code ELSE old.weather_code END AS weather_code,
        CASE WHEN wins & 4 > 0 THEN incoming.condition ELSE old.condition END AS condition,
        CASE WHEN wins & 8 > 0 THEN trim_scale(incoming.precipitation_mm) ELSE old.precipitation_mm END AS precipitation_mm,
        CASE WHEN wins & 16 > 0 THEN trim_scale(incoming.wind_speed_kmh) ELSE old.wind_speed_kmh END AS wind_speed_kmh,
        CASE WHEN wins & 32 > 0 THEN trim_scale(incoming.uv_index) ELSE old.uv_index END AS uv_index
) AS new
WHERE old.city_id IS NULL
    OR (new.temperature_c, new.humidity, new.weather_code, new.condition, new.precipitation_mm, new.wind_speed_kmh, new.uv_index)
        IS DISTINCT FROM
        (old.temperature_c, old.humidity, old.weather_code, old.condition, old.precipitation_mm, old.wind_speed_kmh, old.uv_index)
    OR is_top AND (incoming.source, incoming.fetched_at < observed_at) IS DISTINCT FROM (old.source, old.fetched_at < observed_at);

MERGE INTO staging_weather AS hour
USING changed ON hour.city_id = changed.city_id AND hour.observed_at = changed.observed_at
WHEN MATCHED THEN
    UPDATE SET temperature_c = changed.temperature_c, humidity = changed.humidity, weather_code = changed.weather_code,
        condition = changed.condition, precipitation_mm = changed.precipitation_mm,
        wind_speed_kmh = changed.wind_speed_kmh, uv_index = changed.uv_index,
        source = changed.source, fetched_at = changed.fetched_at, run_id = changed.run_id, raw_key = changed.raw_key
WHEN NOT MATCHED THEN
    INSERT (city_id, observed_at, temperature_c, humidity, weather_code, condition, precipitation_mm,
        wind_speed_kmh, uv_index, source, fetched_at, run_id, raw_key)
    VALUES (changed.city_id, changed.observed_at, changed.temperature_c, changed.humidity, changed.weather_code,
        changed.condition, changed.precipitation_mm, changed.wind_speed_kmh, changed.uv_index,
        changed.source, changed.fetched_at, changed.run_id, changed.raw_key);

-- What these answers covered when they were loaded before: a replay may fill more than the first time.
CREATE TEMPORARY TABLE earlier ON COMMIT DROP AS
SELECT coverage.*
FROM staging_coverage AS coverage
JOIN (SELECT DISTINCT city_id, source, fetched_at, run_id FROM incoming) AS answer
    USING (city_id, source, fetched_at, run_id);

DELETE FROM staging_coverage AS coverage
USING earlier
WHERE (coverage.city_id, coverage.source, coverage.fetched_at, coverage.run_id)
    = (earlier.city_id, earlier.source, earlier.fetched_at, earlier.run_id);

-- One row of coverage for each stretch of consecutive hours with the same columns filled.
INSERT INTO staging_coverage (city_id, source, fetched_at, run_id, first_hour, last_hour, filled)
SELECT city_id, source, fetched_at, run_id, min(observed_at), max(observed_at), filled
FROM (
    SELECT
        *,
        observed_at - row_number() OVER (PARTITION BY city_id, source, fetched_at, run_id, filled ORDER BY observed_at)
            * interval '1 hour' AS stretch
    FROM (
        SELECT
            incoming.city_id, incoming.source, incoming.fetched_at, incoming.run_id, incoming.observed_at,
            incoming.filled | coalesce(earlier.filled, 0::smallint) AS filled
        FROM incoming
        LEFT JOIN earlier
            ON earlier.city_id = incoming.city_id
            AND earlier.source = incoming.source
            AND earlier.fetched_at = incoming.fetched_at
            AND earlier.run_id = incoming.run_id
            AND incoming.observed_at BETWEEN earlier.first_hour AND earlier.last_hour
        UNION ALL
        SELECT earlier.city_id, earlier.source, earlier.fetched_at, earlier.run_id, observed_at, earlier.filled
        FROM earlier
        CROSS JOIN generate_series(earlier.first_hour, earlier.last_hour, interval '1 hour') AS observed_at
        WHERE NOT EXISTS (
            SELECT FROM incoming WHERE incoming.city_id = earlier.city_id AND incoming.observed_at = observed_at.observed_at
        )
    ) AS covered
) AS numbered
GROUP BY city_id, source, fetched_at, run_id, filled, stretch;

INSERT INTO affected (city_id, date)
SELECT DISTINCT city_id, (observed_at AT TIME ZONE timezone)::date
FROM changed
JOIN (SELECT city_id, timezone FROM dim_city) AS city USING (city_id)
ON CONFLICT DO NOTHING;
