-- The findings of Transform; and the cities whose grid cell is not the one that their source last gave.
INSERT INTO finding (rule, city_id, date, count, example)
SELECT rule, city_id, date, sum(count), min(example)
FROM incoming_quality
WHERE rule IS NOT NULL
GROUP BY rule, city_id, date;

CREATE TEMPORARY TABLE changed_cell ON COMMIT DROP AS
SELECT city_id, response.source, new.latitude, new.longitude, new.elevation, response.fetched_at,
    old.latitude AS old_latitude, old.longitude AS old_longitude, old.elevation AS old_elevation,
    old.city_id IS NOT NULL AS is_stored
FROM incoming_quality AS new
JOIN incoming_response AS response USING (city_id)
LEFT JOIN city_grid_cell AS old USING (city_id, source)
WHERE new.rule IS NULL
    -- a response that is loaded late does not say where the cell is now
    AND (old.city_id IS NULL OR response.fetched_at > old.fetched_at)
    AND (old.latitude, old.longitude, old.elevation) IS DISTINCT FROM (new.latitude, new.longitude, new.elevation);

INSERT INTO finding (rule, city_id, date, count, example)
SELECT 'grid_cell_moved', city_id, %(start)s, 1,
    format('%%s, %%s, %%s m to %%s, %%s, %%s m', old_latitude, old_longitude, old_elevation, latitude, longitude, elevation)
FROM changed_cell
WHERE is_stored;

INSERT INTO city_grid_cell (city_id, source, latitude, longitude, elevation, fetched_at)
SELECT city_id, source, latitude, longitude, elevation, fetched_at
FROM changed_cell
ON CONFLICT (city_id, source) DO UPDATE SET
    latitude = excluded.latitude, longitude = excluded.longitude, elevation = excluded.elevation,
    fetched_at = excluded.fetched_at;
