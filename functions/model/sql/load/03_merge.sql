-- Merges one response into staging_weather. Each value is the non-null one of highest precedence among all that
-- were ever loaded: archive over forecast, then the later fetched_at, then the greater run_id.

ANALYZE incoming;

-- The hours of this response for which earlier loads have values of higher precedence. Nearly always none: only
-- a response that is loaded late has them. So the coverage of higher precedence is selected first, by city, and
-- hours are joined to the result.
CREATE TEMPORARY TABLE higher_precedence ON COMMIT DROP AS
WITH response AS (
    SELECT city_id, source, fetched_at, run_id, min(observed_at) AS first_hour, max(observed_at) AS last_hour
    FROM incoming
    GROUP BY city_id, source, fetched_at, run_id
), higher AS MATERIALIZED (
    SELECT coverage.city_id, coverage.first_hour, coverage.last_hour, coverage.filled
    FROM response
    JOIN staging_coverage AS coverage
        ON coverage.city_id = response.city_id
        AND coverage.last_hour >= response.first_hour
        AND coverage.first_hour <= response.last_hour
        AND (coverage.source = 'archive', coverage.fetched_at, coverage.run_id)
            > (response.source = 'archive', response.fetched_at, response.run_id)
)
SELECT incoming.city_id, incoming.observed_at, bit_or(higher.filled) AS filled
FROM incoming
JOIN higher
    ON higher.city_id = incoming.city_id
    AND incoming.observed_at BETWEEN higher.first_hour AND higher.last_hour
GROUP BY incoming.city_id, incoming.observed_at;

-- The new content of each hour that differs from the stored one (trim_scale writes 5 and 5.0 in one way). A row
-- with the same values is also written if its source changes or it is no longer a forecast hour: readers see both.
--
-- The origin of a row (source, fetched_at, run_id, raw_key) is the response that its temperature comes from, so
-- that a later response without a value does not turn a forecast hour into an observed one. Without any
-- temperature it is the response of highest precedence that has a value, without any value that of highest
-- precedence. origin_rank is 2 with a temperature, 1 with another value, 0 without any.
CREATE TEMPORARY TABLE changed_hour ON COMMIT DROP AS
SELECT
    city_id,
    observed_at,
    new.*,
    CASE WHEN is_new_origin THEN incoming.source ELSE stored.source END AS source,
    CASE WHEN is_new_origin THEN incoming.fetched_at ELSE stored.fetched_at END AS fetched_at,
    CASE WHEN is_new_origin THEN incoming.run_id ELSE stored.run_id END AS run_id,
    CASE WHEN is_new_origin THEN incoming.raw_key ELSE stored.raw_key END AS raw_key
FROM incoming
LEFT JOIN staging_weather AS stored USING (city_id, observed_at)
LEFT JOIN higher_precedence USING (city_id, observed_at)
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN incoming.filled & 1 > 0 THEN 2 WHEN incoming.filled > 0 THEN 1 ELSE 0 END AS incoming_rank,
        CASE
            WHEN stored.temperature_c IS NOT NULL THEN 2
            WHEN coalesce(stored.humidity, stored.weather_code, stored.precipitation_mm, stored.wind_speed_kmh, stored.uv_index)
                IS NOT NULL THEN 1
            ELSE 0
        END AS stored_rank,
        coalesce(higher_precedence.filled, 0::smallint) AS higher_filled
) AS origin_rank
CROSS JOIN LATERAL (
    SELECT
        incoming.filled & ~higher_filled AS winning,
        stored.city_id IS NULL OR incoming_rank > stored_rank OR incoming_rank = stored_rank AND CASE incoming_rank
            WHEN 2 THEN higher_filled & 1 = 0
            WHEN 1 THEN higher_filled = 0
            ELSE higher_precedence.city_id IS NULL
        END AS is_new_origin
) AS decision
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN winning & 1 > 0 THEN trim_scale(incoming.temperature_c) ELSE stored.temperature_c END AS temperature_c,
        CASE WHEN winning & 2 > 0 THEN trim_scale(incoming.humidity) ELSE stored.humidity END AS humidity,
        CASE WHEN winning & 4 > 0 THEN incoming.weather_code ELSE stored.weather_code END AS weather_code,
        CASE WHEN winning & 4 > 0 THEN incoming.condition ELSE stored.condition END AS condition,
        CASE WHEN winning & 8 > 0 THEN trim_scale(incoming.precipitation_mm) ELSE stored.precipitation_mm END AS precipitation_mm,
        CASE WHEN winning & 16 > 0 THEN trim_scale(incoming.wind_speed_kmh) ELSE stored.wind_speed_kmh END AS wind_speed_kmh,
        CASE WHEN winning & 32 > 0 THEN trim_scale(incoming.uv_index) ELSE stored.uv_index END AS uv_index
) AS new
WHERE stored.city_id IS NULL
    OR (new.temperature_c, new.humidity, new.weather_code, new.condition, new.precipitation_mm, new.wind_speed_kmh, new.uv_index)
        IS DISTINCT FROM
        (stored.temperature_c, stored.humidity, stored.weather_code, stored.condition, stored.precipitation_mm, stored.wind_speed_kmh, stored.uv_index)
    OR is_new_origin AND (incoming.source, incoming.fetched_at < observed_at) IS DISTINCT FROM (stored.source, stored.fetched_at < observed_at);

MERGE INTO staging_weather AS hour
USING changed_hour AS changed ON hour.city_id = changed.city_id AND hour.observed_at = changed.observed_at
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

-- The coverage of these responses from earlier loads: a replay may have more values than the first load.
CREATE TEMPORARY TABLE previous_coverage ON COMMIT DROP AS
SELECT coverage.*
FROM staging_coverage AS coverage
JOIN (SELECT DISTINCT city_id, source, fetched_at, run_id FROM incoming) AS response
    USING (city_id, source, fetched_at, run_id);

DELETE FROM staging_coverage AS coverage
USING previous_coverage AS previous
WHERE (coverage.city_id, coverage.source, coverage.fetched_at, coverage.run_id)
    = (previous.city_id, previous.source, previous.fetched_at, previous.run_id);

-- One row for each stretch of consecutive hours with values in the same columns.
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
            incoming.filled | coalesce(previous.filled, 0::smallint) AS filled
        FROM incoming
        LEFT JOIN previous_coverage AS previous
            ON previous.city_id = incoming.city_id
            AND previous.source = incoming.source
            AND previous.fetched_at = incoming.fetched_at
            AND previous.run_id = incoming.run_id
            AND incoming.observed_at BETWEEN previous.first_hour AND previous.last_hour
        UNION ALL
        SELECT previous.city_id, previous.source, previous.fetched_at, previous.run_id, observed_at, previous.filled
        FROM previous_coverage AS previous
        CROSS JOIN generate_series(previous.first_hour, previous.last_hour, interval '1 hour') AS observed_at
        WHERE NOT EXISTS (
            SELECT FROM incoming WHERE incoming.city_id = previous.city_id AND incoming.observed_at = observed_at.observed_at
        )
    ) AS covered
) AS numbered
GROUP BY city_id, source, fetched_at, run_id, filled, stretch;

INSERT INTO affected_city_day (city_id, date)
SELECT DISTINCT city_id, (observed_at AT TIME ZONE timezone)::date
FROM changed_hour
JOIN (SELECT city_id, timezone FROM dim_city) AS city USING (city_id)
ON CONFLICT DO NOTHING;
