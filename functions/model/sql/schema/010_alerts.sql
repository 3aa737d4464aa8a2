-- Weather alerts: events of the cities' days that a rule describes (docs/decisions/0022-alerts.md). Both tables are empty
-- until the next load: it finds that the rules are new, and evaluates all stored days.

-- The rules as last loaded, from functions/core/data/alert_rules.toml.
CREATE TABLE alert_rule (
    rule       text PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('heat', 'heavy_rain', 'dry_spell', 'data_missing')),
    -- so many days in a row make an event
    days       smallint NOT NULL,
    -- what a day is compared with: this value, or a percentile of climate_threshold that is made of so many years
    threshold  numeric,
    percentile smallint,
    years      smallint,
    unit       text NOT NULL,
    meaning    text NOT NULL,
    source     text NOT NULL
);

CREATE TABLE weather_alert (
    city_id       text NOT NULL,
    rule          text NOT NULL,
    opened_on     date NOT NULL,
    -- the last of the days in a row that meet the rule
    last_day      date NOT NULL,
    -- the first day after that which is known, whether or not it follows directly; null while there is none
    closed_on     date,
    days_forecast smallint NOT NULL,
    value         numeric NOT NULL,
    threshold     numeric NOT NULL,
    -- when a load first found the event, and when it was sent
    found_at      timestamptz NOT NULL,
    notified_at   timestamptz,
    PRIMARY KEY (city_id, rule, opened_on)
);
-- What is to be sent, and what each load looks at: events of history are neither.
CREATE INDEX weather_alert_unsent ON weather_alert (last_day) WHERE notified_at IS NULL;
CREATE INDEX weather_alert_open ON weather_alert (rule) WHERE closed_on IS NULL;

-- Whether an event that was stored with these days is what is now found with those: they share a day, or the new one
-- follows directly. A withdrawn event (closed_on = opened_on) has its first day still. The days between an event and its
-- closed_on may be unknown, so they are not part of it.
CREATE FUNCTION is_same_alert(stored_on date, stored_last date, stored_closed date, found_on date, found_last date)
RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT daterange(stored_on, least(stored_closed, stored_last + 1), '[]') && daterange(found_on, found_last, '[]')
$$;

-- The newest local day that is wholly observed in any active city: an active city whose observed hours end earlier lacks
-- data. It depends on the marts alone, not on the time of a load. Null if there is none.
CREATE FUNCTION newest_observed_day() RETURNS date
LANGUAGE sql STABLE AS $$
    SELECT max(newest.date)
    FROM dim_city AS city
    CROSS JOIN LATERAL (
        SELECT date
        FROM mart_daily_city_weather AS mart
        WHERE mart.city_id = city.city_id AND hours_observed >= hours_expected AND hours_forecast = 0
        ORDER BY date DESC
        LIMIT 1
    ) AS newest
    WHERE active
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ikirere_loader') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON alert_rule, weather_alert TO ikirere_loader;
    END IF;

    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'metabase_reader') THEN
        GRANT SELECT ON alert_rule, weather_alert TO metabase_reader;
    END IF;
END
$$;
