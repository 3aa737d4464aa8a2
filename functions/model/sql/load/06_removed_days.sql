-- Days that have no hour any more, since their city's time zone has changed; and their cities' summaries, which are then
-- made from all remaining days. Hours are never removed, so nothing else leaves a day without any.
WITH removed AS (
    DELETE FROM mart_daily_city_weather AS mart
    USING affected_range AS range
    WHERE mart.city_id = range.city_id AND mart.date BETWEEN range.first_day AND range.last_day
        AND NOT EXISTS (SELECT FROM recomputed_day AS new WHERE new.city_id = mart.city_id AND new.date = mart.date)
    RETURNING mart.city_id
)
DELETE FROM mart_city_weather_summary
WHERE city_id IN (SELECT city_id FROM removed);
