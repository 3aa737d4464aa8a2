"""Weather alerts on the emulator: sent once to their topic; a topic that fails does not fail the run."""

from datetime import timedelta

import pytest
from pipeline import TODAY

# Whole local days in Rwanda end two hours before those of UTC: the last day of this window is one.
RECENT = {"start": str(TODAY - timedelta(days=2)), "end": str(TODAY - timedelta(days=1))}
EARLIER = {"start": str(TODAY - timedelta(days=5)), "end": str(TODAY - timedelta(days=5))}
SENT = ["HasAlerts", "DescribeAlerts", "AreAlertsUnsent", "NotifyAlerts", "RecordAlerts", "Loaded"]


@pytest.fixture
def old_data(pipeline):
    """Kigali has data of five days ago only."""
    pipeline.run(cities=["kigali"], **EARLIER)


def alert(pipeline):
    (row,) = pipeline.rows("SELECT * FROM weather_alert")
    return row


def test_an_alert_is_sent_once_to_its_topic_and_recorded_as_sent(pipeline, old_data, weather_alerts):
    ended = pipeline.run(cities=["huye"], **RECENT)
    assert (ended.execution, ended.row["status"], ended.states[-6:]) == ("SUCCEEDED", "succeeded", SENT)
    (message,) = weather_alerts(1)
    first, last = TODAY - timedelta(days=3), TODAY - timedelta(days=2)
    assert message.startswith(
        f"1 weather alert:\n- Kigali: data_missing, {first} to {last} (not over): 2 days, threshold 2 days. No hour"
    )
    assert f"(run {ended.row['run_id']}, execution " in message
    assert alert(pipeline)["notified_at"] is not None
    again = pipeline.run(cities=["musanze"], **RECENT)
    assert again.states[-2:] == ["HasAlerts", "Loaded"]
    assert weather_alerts(0) == []


def test_an_alert_whose_topic_fails_is_sent_by_the_next_run_and_no_run_fails(pipeline, old_data, weather_alerts):
    topic, sns = pipeline.outputs["WeatherAlertTopicArn"], pipeline.emulator.aws.client("sns")
    sns.delete_topic(TopicArn=topic)
    try:
        ended = pipeline.run(cities=["huye"], **RECENT)
    finally:
        assert sns.create_topic(Name=topic.rsplit(":", 1)[1])["TopicArn"] == topic
    assert (ended.execution, ended.row["status"]) == ("SUCCEEDED", "succeeded")
    assert ended.states[-4:] == ["DescribeAlerts", "AreAlertsUnsent", "NotifyAlerts", "Loaded"]
    assert alert(pipeline)["notified_at"] is None
    # a run that loads nothing new sends it too
    assert pipeline.run(cities=["huye"], **RECENT).states[-6:] == SENT
    assert alert(pipeline)["notified_at"] is not None
