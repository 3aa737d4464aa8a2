-- title: Completeness
-- description: Hours with a temperature out of the hours of the local day. A day without any hour is not listed.
SELECT
    city_id,
    city,
    date,
    hours_observed,
    hours_expected,
    hours_forecast,
    round(100.0 * hours_observed / hours_expected, 1) AS percent_observed
FROM mart_daily_city_weather
WHERE true [[AND {{city}}]] [[AND {{date}}]]
ORDER BY date DESC, city, city_id
