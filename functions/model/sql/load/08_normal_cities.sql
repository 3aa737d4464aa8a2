-- The cities whose normals may have changed: an affected day is in the base period, or a month that is now complete makes
-- another base period. A city of 1991 to 2020 has none in a daily load, so that such a load makes no normals again.
CREATE TEMPORARY TABLE normal_city ON COMMIT DROP AS
SELECT city_id
FROM (SELECT city_id, range_agg(daterange(first_day, last_day, '[]')) AS days FROM affected_range GROUP BY city_id) AS city
LEFT JOIN LATERAL (
    -- all rows of a city have one base
    SELECT base_start, base_end FROM climate_normal AS normal WHERE normal.city_id = city.city_id LIMIT 1
) AS stored ON true
LEFT JOIN (
    SELECT city_id, min(year) AS first_year, max(year) AS last_year
    FROM recomputed_month
    WHERE is_complete
    GROUP BY city_id
) AS complete USING (city_id)
WHERE
    -- the days of the base's years, and of its ISO years
    base_start IS NOT NULL AND days && daterange(make_date(base_start - 1, 12, 29), make_date(base_end + 1, 1, 4))
    -- of the months that are complete now one is outside the base: the base is read again
    OR first_year IS NOT NULL AND (base_start IS NULL OR first_year < base_start OR last_year > base_end) AND EXISTS (
        SELECT FROM climate_base(city_id) AS new
        WHERE (new.base_start, new.base_end) IS DISTINCT FROM (stored.base_start, stored.base_end)
    );
