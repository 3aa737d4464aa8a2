"""Alarms, notifications and the dashboard: their metrics are those that the functions count."""

import json

from template_and_code import NAMESPACE, RESOURCES, counted

ALARMS = {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == "AWS::CloudWatch::Alarm"}


def test_the_alarms_watch_metrics_that_the_functions_count_and_notify_the_failure_topic():
    watched = {
        (alarm["Dimensions"][0]["Value"], alarm["MetricName"])
        for alarm in ALARMS.values()
        if alarm["Namespace"] == NAMESPACE
    }
    assert watched == {("transform", "rows_rejected"), ("ingest", "wait_seconds"), ("model", "partial_runs")}
    for alarm in ALARMS.values():
        assert alarm["AlarmActions"] == [{"Ref": "FailureTopic"}]
        if alarm["Namespace"] == NAMESPACE:
            (dimension,) = alarm["Dimensions"]
            assert (dimension["Name"], alarm["Statistic"]) == ("service", "Sum")
            assert alarm["MetricName"] in counted(dimension["Value"])


def test_each_alarm_has_its_metric_threshold_and_period():
    """The metric, the threshold, the period, and whether missing data is a breach."""
    conditions = {
        name: (
            alarm["MetricName"],
            alarm["ComparisonOperator"],
            alarm["Threshold"],
            alarm["Period"] * alarm["EvaluationPeriods"],
            alarm["TreatMissingData"],
        )
        for name, alarm in ALARMS.items()
    }
    above, below = "GreaterThanThreshold", "LessThanThreshold"
    assert conditions == {
        "FailedRunAlarm": ("ExecutionsFailed", above, 0, 300, "notBreaching"),
        "TimedOutRunAlarm": ("ExecutionsTimedOut", above, 0, 300, "notBreaching"),
        "AbortedRunAlarm": ("ExecutionsAborted", above, 0, 300, "notBreaching"),
        "FailedBackfillAlarm": ("ExecutionsFailed", above, 0, 300, "notBreaching"),
        "UnrecordedRunAlarm": ("ExecutionsFailed", above, 0, 300, "notBreaching"),
        "NoSuccessfulRunAlarm": ("ExecutionsSucceeded", below, 1, 26 * 3600, "breaching"),
        "RejectedRowsAlarm": ("rows_rejected", above, {"Ref": "RejectedRowsThreshold"}, 86400, "notBreaching"),
        "PartialRunAlarm": ("partial_runs", above, 0, 300, "notBreaching"),
        "ThrottledAlarm": ("wait_seconds", above, {"Ref": "WaitSecondsThreshold"}, 86400, "notBreaching"),
        "UnstartedRunsAlarm": ("ApproximateNumberOfMessagesVisible", above, 0, 300, "notBreaching"),
        "DatabaseStorageAlarm": ("FreeStorageSpace", below, 2_000_000_000, 900, "notBreaching"),
    }


def test_a_backfill_that_timed_out_or_was_aborted_is_notified_on_the_failure_topic():
    rule = RESOURCES["EndedBackfillRule"]["Properties"]
    assert rule["EventPattern"]["detail"] == {
        "status": ["TIMED_OUT", "ABORTED"],
        "stateMachineArn": [{"Ref": "WeatherBackfill"}],
    }
    assert rule["Targets"] == [{"Id": "FailureTopic", "Arn": {"Ref": "FailureTopic"}}]
    allowed = {
        each["Principal"]["Service"]: each
        for each in RESOURCES["FailureTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    }
    assert set(allowed) == {"events.amazonaws.com", "cloudwatch.amazonaws.com"}
    for statement in allowed.values():
        assert (statement["Action"], statement["Resource"]) == ("sns:Publish", {"Ref": "FailureTopic"})


def test_each_alarm_of_failures_watches_its_state_machine():
    names = ("FailedRunAlarm", "TimedOutRunAlarm", "AbortedRunAlarm", "FailedBackfillAlarm", "UnrecordedRunAlarm")
    watched = {name: ALARMS[name]["Dimensions"][0]["Value"] for name in names}
    assert watched == {
        "FailedRunAlarm": {"Ref": "WeatherPipeline"},
        "TimedOutRunAlarm": {"Ref": "WeatherPipeline"},
        "AbortedRunAlarm": {"Ref": "WeatherPipeline"},
        "FailedBackfillAlarm": {"Ref": "WeatherBackfill"},
        "UnrecordedRunAlarm": {"Ref": "ExecutionRecorder"},
    }


def test_a_start_that_fails_for_good_leaves_a_message_that_raises_an_alarm():
    """The start of a scheduled run, after an hour of attempts; that of the recorder, after a day."""
    queue = {"Arn": {"Fn::GetAtt": ["UnstartedRuns", "Arn"]}}
    events = (
        RESOURCES["WeatherPipeline"]["Properties"]["Events"] | RESOURCES["ExecutionRecorder"]["Properties"]["Events"]
    )
    assert {name: each["Properties"]["DeadLetterConfig"] for name, each in events.items()} == dict.fromkeys(
        ("Daily", "Archive", "Ended"), queue
    )
    assert {name: each["Properties"]["RetryPolicy"] for name, each in events.items()} == {
        "Daily": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
        "Archive": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
        "Ended": {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 86400},
    }
    (allowed,) = RESOURCES["UnstartedRunsPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (allowed["Action"], allowed["Principal"]) == ("sqs:SendMessage", {"Service": "events.amazonaws.com"})
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["ExecutionRecorderEnded", "Arn"]}}}
    assert ALARMS["UnstartedRunsAlarm"]["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["UnstartedRuns", "QueueName"]}


def test_the_dashboard_shows_metrics_that_the_functions_count():
    body = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
    shown = []
    for widget in body["widgets"]:
        full = []
        for metric in widget["properties"]["metrics"]:
            # "." repeats the field above, "..." all but the last
            given = full[: 1 - len(metric)] + metric[1:] if metric[0] == "..." else metric
            full = [full[n] if field == "." else field for n, field in enumerate(given)]
            shown.append(tuple(full))
    ours = [metric for metric in shown if metric[0] == "${AWS::StackName}"]
    assert len(ours) == 11
    for _, name, dimension, function in ours:
        assert dimension == "service"
        assert name in counted(function), (name, function)
