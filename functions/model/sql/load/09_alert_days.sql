-- The days that an event may begin or end on because of this load: its affected days, one more on each side, and two more
-- after them whose rain of three days has an affected one. All days of a city whose thresholds were made again.
CREATE TEMPORARY TABLE alert_days ON COMMIT DROP AS
SELECT
    city_id,
    CASE WHEN city_id NOT IN (SELECT city_id FROM normal_city)
        THEN daterange(min(first_day) - 1, max(last_day) + 3, '[]')
        ELSE daterange(NULL, NULL)
    END AS days
FROM affected_range
GROUP BY city_id;
