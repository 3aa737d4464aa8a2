-- The events of the cities in alert_days into weather_alert. Compared are the events that touch these days, as they were
-- stored and as they are now: an event touches a day from its first day to the day that closes it.

-- What is read: as many days around them as an event needs. A longer event that reaches them is stored, and read whole.
CREATE TEMPORARY TABLE alert_range ON COMMIT DROP AS
SELECT
    city_id, alert_days.days,
    -- three days: two of the rain before the first
    coalesce(least(lower(alert_days.days) - longest.days, min(opened_on)) - 3, '-infinity') AS first_day,
    CASE WHEN upper_inf(alert_days.days) THEN 'infinity'
        ELSE greatest(upper(alert_days.days) + longest.days, max(last_day)) + 1 END AS last_day
FROM alert_days
CROSS JOIN (SELECT coalesce(max(days), 1)::integer AS days FROM alert_rule) AS longest
LEFT JOIN LATERAL (
    SELECT opened_on, last_day
    FROM weather_alert AS alert
    WHERE alert.city_id = alert_days.city_id AND daterange(opened_on, closed_on, '[]') && alert_days.days
        AND NOT lower_inf(alert_days.days)
) AS alert ON true
GROUP BY city_id, alert_days.days, longest.days;
ANALYZE alert_range;

CREATE TEMPORARY TABLE found_alert ON COMMIT DROP AS
WITH day AS MATERIALIZED (
    SELECT
        city_id, date, max_temperature_c, precipitation_mm,
        CASE WHEN count(precipitation_mm) OVER three_days = 3 THEN sum(precipitation_mm) OVER three_days END
            AS rain_3_days_mm,
        hours_forecast > 0 AS is_forecast,
        hours_observed > hours_forecast AS is_observed
    FROM alert_range
    JOIN mart_daily_city_weather AS mart USING (city_id)
    WHERE date BETWEEN first_day AND last_day
    WINDOW three_days AS (PARTITION BY city_id ORDER BY date RANGE BETWEEN interval '2 days' PRECEDING AND CURRENT ROW)
), city_rule AS (
    SELECT
        alert_range.city_id, alert_range.days AS changed_days, rule, kind, alert_rule.days,
        CASE WHEN alert_rule.percentile IS NULL THEN alert_rule.threshold ELSE climate.value END AS limit_value
    FROM alert_range
    CROSS JOIN alert_rule
    -- null, and so without a row, for a rule that has no percentile
    LEFT JOIN climate_threshold AS climate ON climate.city_id = alert_range.city_id
        AND climate.years_used >= alert_rule.years AND climate.measure = CASE kind
            WHEN 'heat' THEN 'max_temperature_p' || percentile || '_c'
            WHEN 'heavy_rain' THEN 'rain_3_days_p' || percentile || '_mm'
        END
    WHERE kind <> 'data_missing' AND (percentile IS NULL OR climate.value IS NOT NULL)
), run AS (
    -- days in a row that meet the rule; a day that is not known is in none
    SELECT
        city_id, rule, min(date) AS opened_on, max(date) AS last_day, max(value) AS greatest_value, count(*) AS days,
        count(*) FILTER (WHERE is_forecast)::smallint AS days_forecast
    FROM (
        SELECT
            city_id, rule, date, value, is_forecast,
            date - row_number() OVER (PARTITION BY city_id, rule ORDER BY date)::integer AS island
        FROM day
        JOIN city_rule USING (city_id)
        CROSS JOIN LATERAL (
            SELECT CASE kind
                WHEN 'heat' THEN max_temperature_c
                WHEN 'heavy_rain' THEN rain_3_days_mm
                WHEN 'dry_spell' THEN precipitation_mm
            END AS value
        ) AS measure
        WHERE CASE kind
            WHEN 'heat' THEN value >= limit_value
            WHEN 'heavy_rain' THEN value > limit_value
            WHEN 'dry_spell' THEN value < limit_value
        END
    ) AS met
    GROUP BY city_id, rule, island
), observed AS (
    SELECT city_id, date FROM day WHERE is_observed
    UNION ALL
    SELECT alert_range.city_id, before.date
    FROM alert_range
    CROSS JOIN LATERAL (
        SELECT date
        FROM mart_daily_city_weather AS mart
        WHERE mart.city_id = alert_range.city_id AND date < first_day AND hours_observed > hours_forecast
        ORDER BY date DESC
        LIMIT 1
    ) AS before
    UNION ALL
    SELECT alert_range.city_id, after.date
    FROM alert_range
    CROSS JOIN LATERAL (
        SELECT date
        FROM mart_daily_city_weather AS mart
        WHERE mart.city_id = alert_range.city_id AND date > last_day AND hours_observed > hours_forecast
        ORDER BY date
        LIMIT 1
    ) AS after
), event AS (
    SELECT
        city_id, rule, changed_days, opened_on, last_day, closing.closed_on, days_forecast,
        CASE kind WHEN 'dry_spell' THEN run.days ELSE greatest_value END AS value,
        CASE kind WHEN 'dry_spell' THEN city_rule.days ELSE limit_value END AS threshold
    FROM run
    JOIN city_rule USING (city_id, rule)
    LEFT JOIN LATERAL (
        SELECT mart.date AS closed_on
        FROM mart_daily_city_weather AS mart
        WHERE mart.city_id = run.city_id AND mart.date > run.last_day AND CASE kind
            WHEN 'heat' THEN max_temperature_c IS NOT NULL
            WHEN 'dry_spell' THEN precipitation_mm IS NOT NULL
            WHEN 'heavy_rain' THEN (
                SELECT count(rain.precipitation_mm) = 3
                FROM mart_daily_city_weather AS rain
                WHERE rain.city_id = mart.city_id AND rain.date BETWEEN mart.date - 2 AND mart.date
            )
        END
        ORDER BY mart.date
        LIMIT 1
    ) AS closing ON true
    WHERE run.days >= city_rule.days
    UNION ALL
    SELECT city_id, rule, alert_range.days, opened_on, closed_on - 1, closed_on, 0, closed_on - opened_on, alert_rule.days
    FROM (
        SELECT city_id, date + 1 AS opened_on, lead(date) OVER (PARTITION BY city_id ORDER BY date) AS closed_on
        FROM observed
    ) AS gap
    JOIN alert_range USING (city_id)
    JOIN alert_rule ON kind = 'data_missing' AND closed_on - opened_on >= alert_rule.days
    UNION ALL
    -- cities whose data have ended, also those that this load does not affect: another city's days have become newer
    SELECT
        city_id, rule, daterange(NULL, NULL), newest.date + 1, newest_observed_day - 1, NULL, 0,
        newest_observed_day - 1 - newest.date, alert_rule.days
    FROM dim_city AS city
    CROSS JOIN newest_observed_day() AS newest_observed_day
    CROSS JOIN LATERAL (
        SELECT date
        FROM mart_daily_city_weather AS mart
        WHERE mart.city_id = city.city_id AND hours_observed > hours_forecast
        ORDER BY date DESC
        LIMIT 1
    ) AS newest
    JOIN alert_rule ON kind = 'data_missing' AND newest_observed_day - 1 - newest.date >= alert_rule.days
    WHERE active
)
SELECT
    event.city_id, event.rule, event.opened_on, event.last_day, event.closed_on, event.days_forecast, event.value,
    event.threshold, coalesce(min(same.found_at), clock_timestamp()) AS found_at, min(same.notified_at) AS notified_at
FROM event
LEFT JOIN weather_alert AS same ON same.city_id = event.city_id AND same.rule = event.rule
    AND is_same_alert(same.opened_on, same.last_day, same.closed_on, event.opened_on, event.last_day)
WHERE daterange(event.opened_on, event.closed_on, '[]') && changed_days
GROUP BY event.city_id, event.rule, event.opened_on, event.last_day, event.closed_on, event.days_forecast, event.value,
    event.threshold;

-- The stored events that are not found again: one that was sent is withdrawn, unless it has another first day now.
CREATE TEMPORARY TABLE lost_alert ON COMMIT DROP AS
SELECT city_id, rule, opened_on, CASE WHEN notified_at IS NOT NULL AND NOT EXISTS (
    SELECT
    FROM found_alert AS found
    WHERE found.city_id = alert.city_id AND found.rule = alert.rule
        AND is_same_alert(alert.opened_on, alert.last_day, alert.closed_on, found.opened_on, found.last_day)
) THEN opened_on END AS withdrawn_on
FROM (
    SELECT alert.*
    FROM alert_days
    JOIN weather_alert AS alert USING (city_id)
    WHERE daterange(opened_on, closed_on, '[]') && days
    UNION
    SELECT alert.*
    FROM weather_alert AS alert
    JOIN alert_rule USING (rule)
    WHERE closed_on IS NULL AND kind = 'data_missing'
) AS alert
WHERE (city_id, rule, opened_on) NOT IN (SELECT city_id, rule, opened_on FROM found_alert);

UPDATE weather_alert AS alert
SET closed_on = lost.withdrawn_on
FROM lost_alert AS lost
WHERE alert.city_id = lost.city_id AND alert.rule = lost.rule AND alert.opened_on = lost.opened_on
    AND lost.withdrawn_on IS NOT NULL AND alert.closed_on IS DISTINCT FROM lost.withdrawn_on;

DELETE FROM weather_alert AS alert
USING lost_alert AS lost
WHERE alert.city_id = lost.city_id AND alert.rule = lost.rule AND alert.opened_on = lost.opened_on
    AND lost.withdrawn_on IS NULL;

MERGE INTO weather_alert AS old
USING found_alert AS new ON old.city_id = new.city_id AND old.rule = new.rule AND old.opened_on = new.opened_on
WHEN MATCHED AND
    (old.last_day, old.closed_on, old.days_forecast, old.value, old.threshold, old.found_at, old.notified_at)
    IS DISTINCT FROM
    (new.last_day, new.closed_on, new.days_forecast, new.value, new.threshold, new.found_at, new.notified_at)
THEN
    UPDATE SET last_day = new.last_day, closed_on = new.closed_on, days_forecast = new.days_forecast,
        value = new.value, threshold = new.threshold, found_at = new.found_at, notified_at = new.notified_at
WHEN NOT MATCHED THEN
    INSERT (city_id, rule, opened_on, last_day, closed_on, days_forecast, value, threshold, found_at, notified_at)
    VALUES (new.city_id, new.rule, new.opened_on, new.last_day, new.closed_on, new.days_forecast, new.value,
        new.threshold, new.found_at, new.notified_at);
