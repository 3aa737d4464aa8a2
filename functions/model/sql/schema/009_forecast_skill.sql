-- What was forecast for each local day and how long before, and how good that was (docs/decisions/0021-forecast-skill.md).

-- The forecast of a city's local day, by lead: the days from the local day on which a response was fetched to that day.
-- A lead of 0 is the day of the fetch itself, whose first hours have passed by then. Each row is of one response: of the
-- responses of its lead that have every hour of the day, the one of highest precedence: temperature and precipitation
-- over one of both, then the later fetched_at, then the greater run_id. A measure is null unless every hour has it.
-- No migration can fill it: staging_weather keeps no superseded forecast. `ikirere rebuild` makes it from the raw bucket.
CREATE TABLE forecast_day (
    city_id           text NOT NULL,
    date              date NOT NULL,
    lead_days         smallint NOT NULL CHECK (lead_days BETWEEN 0 AND 7),
    avg_temperature_c numeric,
    min_temperature_c numeric,
    max_temperature_c numeric,
    precipitation_mm  numeric,
    fetched_at        timestamptz NOT NULL,
    run_id            text COLLATE "C" NOT NULL,
    PRIMARY KEY (city_id, date, lead_days)
);

-- Forecasts against the archive. Compared are the days of which every hour is of the archive and has a temperature. Rain
-- is a day with at least 1 mm. hit_rate = hits / (hits + misses), false_alarm_rate = false alarms / (false alarms + correct
-- negatives), as in http://ecmwf.int/products/forecasts/guide/The_contingency_table.html. This is not the false alarm
-- ratio, false alarms / (hits + false alarms). Null where a denominator is 0, and for a temperature.
CREATE VIEW mart_forecast_skill AS
WITH compared AS (
    SELECT
        city_id, forecast.lead_days,
        forecast.avg_temperature_c - mart.avg_temperature_c AS avg_temperature_error,
        forecast.min_temperature_c - mart.min_temperature_c AS min_temperature_error,
        forecast.max_temperature_c - mart.max_temperature_c AS max_temperature_error,
        forecast.precipitation_mm - mart.precipitation_mm AS precipitation_error,
        forecast.precipitation_mm >= 1 AS is_rain_forecast,
        mart.precipitation_mm >= 1 AS is_rain
    FROM forecast_day AS forecast
    JOIN mart_daily_city_weather AS mart USING (city_id, date)
    -- no day has more hours than expected; for two equations the planner would expect a single day
    WHERE mart.hours_archive >= mart.hours_expected AND mart.hours_observed >= mart.hours_expected
), total AS (
    -- one pass over the days for all variables; a forecast has all three temperatures or none
    SELECT
        city_id, lead_days,
        count(avg_temperature_error) AS temperature_days,
        sum(avg_temperature_error) AS avg_temperature_sum,
        sum(abs(avg_temperature_error)) AS avg_temperature_absolute,
        sum(min_temperature_error) AS min_temperature_sum,
        sum(abs(min_temperature_error)) AS min_temperature_absolute,
        sum(max_temperature_error) AS max_temperature_sum,
        sum(abs(max_temperature_error)) AS max_temperature_absolute,
        count(precipitation_error) AS precipitation_days,
        sum(precipitation_error) AS precipitation_sum,
        sum(abs(precipitation_error)) AS precipitation_absolute,
        count(*) FILTER (WHERE is_rain_forecast AND is_rain) AS hits,
        count(*) FILTER (WHERE NOT is_rain_forecast AND is_rain) AS misses,
        count(*) FILTER (WHERE is_rain_forecast AND NOT is_rain) AS false_alarms,
        count(*) FILTER (WHERE NOT is_rain_forecast AND NOT is_rain) AS correct_negatives
    FROM compared
    GROUP BY city_id, lead_days
)
SELECT
    total.city_id, city.city, score.variable, total.lead_days, score.days,
    trim_scale(error_sum / days) AS bias,
    trim_scale(absolute_sum / days) AS mean_absolute_error,
    score.hits, score.misses, score.false_alarms, score.correct_negatives,
    trim_scale(score.hits::numeric / nullif(score.hits + score.misses, 0)) AS hit_rate,
    trim_scale(score.false_alarms::numeric / nullif(score.false_alarms + score.correct_negatives, 0)) AS false_alarm_rate
FROM total
JOIN dim_city AS city USING (city_id)
CROSS JOIN LATERAL (
    VALUES
        ('avg_temperature_c', temperature_days, avg_temperature_sum, avg_temperature_absolute,
            NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint),
        ('min_temperature_c', temperature_days, min_temperature_sum, min_temperature_absolute, NULL, NULL, NULL, NULL),
        ('max_temperature_c', temperature_days, max_temperature_sum, max_temperature_absolute, NULL, NULL, NULL, NULL),
        ('precipitation_mm', precipitation_days, precipitation_sum, precipitation_absolute,
            total.hits, total.misses, total.false_alarms, total.correct_negatives)
) AS score (variable, days, error_sum, absolute_sum, hits, misses, false_alarms, correct_negatives)
WHERE score.days > 0;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ikirere_loader') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON forecast_day TO ikirere_loader;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'metabase_reader') THEN
        GRANT SELECT ON mart_forecast_skill TO metabase_reader;
    END IF;
END
$$;
