"""The API key is in its secret and in the header of a request, and nowhere else, whether a run succeeds or fails."""

import gzip
import json
from pathlib import Path

import pytest
from hostile_host import HostileHost
from pipeline import YESTERDAY

from command_line.main import main
from functions.core.errors import PipelineError
from functions.ingest.open_meteo import OpenMeteo
from open_meteo_stand_in.faults import ERRORS, Fault

KEY = "c4n4ry-k3y-0f-4-p41d-pl4n"
EVENTS = {
    "succeeds": None,
    "rejected": Fault("no_key", times=None),
    "repeated": Fault("plan", times=None),
    "teapot": Fault("teapot", times=None),
    "busy": Fault("overloaded", times=None),
}


@pytest.fixture
def with_key(pipeline, monkeypatch):
    """The pipeline with a paid plan's key, and the headers that the host gets."""
    monkeypatch.setitem(ERRORS, "plan", (403, f"The API key {KEY} is not known"))
    functions, name = pipeline.emulator.aws.client("lambda"), pipeline.outputs["IngestFunctionName"]
    secrets = pipeline.emulator.aws.client("secretsmanager")
    arn = secrets.create_secret(Name="open-meteo", SecretString=json.dumps({"api_key": KEY}))["ARN"]
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    change = functions.update_function_configuration
    change(FunctionName=name, Environment={"Variables": variables | {"OPEN_METEO_API_KEY_SECRET": arn}})
    yield pipeline
    change(FunctionName=name, Environment={"Variables": variables})
    secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def everything(pipeline, execution, capsys):
    """What is stored, logged and shown of a run: pairs of a place and its text."""
    run_id = execution.rsplit(":", 1)[1]
    aws = pipeline.emulator.aws.client
    pages = aws("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
    yield "history", json.dumps([page["events"] for page in pages], default=str)
    yield "execution", json.dumps(aws("stepfunctions").describe_execution(executionArn=execution), default=str)
    for table in ("pipeline_run", "staging_weather", "staging_coverage", "dim_city"):
        yield table, json.dumps(pipeline.rows(f"SELECT * FROM {table}"), default=str)
    for bucket in (pipeline.outputs["RawBucket"], pipeline.outputs["ProcessedBucket"]):
        for item in aws("s3").list_objects_v2(Bucket=bucket).get("Contents", ()):
            head = aws("s3").head_object(Bucket=bucket, Key=item["Key"])
            yield f"metadata of {item['Key']}", json.dumps([item["Key"], head["Metadata"]])
            # the exact bytes of an error are the host's: only they may repeat what it said
            if "unreadable" not in item["Key"] and not item["Key"].startswith("quota/"):
                body = aws("s3").get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                yield item["Key"], gzip.decompress(body).decode()
    folder = pipeline.emulator.state.folder
    for log in (folder / "logs").iterdir():
        yield str(log), log.read_text(errors="replace")
    yield "settings", (folder / "settings.json").read_text()
    logs = aws("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]:
            yield group["logGroupName"], event["message"]
    for command in (
        ["status"], ["status", "--json"], ["history"], ["show", "run", "--run", run_id], ["logs", "--run", run_id],
        ["report", "--output", str(folder / "report.html")],
    ):  # fmt: skip
        capsys.readouterr()
        code = main(["--state", str(folder), *command])
        shown = capsys.readouterr()
        assert code == 0, (command, shown)
        yield " ".join(command), shown.out + shown.err
    yield "report", Path(folder / "report.html").read_text()


def test_no_trace_of_a_run_has_the_api_key(with_key, capsys):
    places = set()
    for name, fault in EVENTS.items():
        with_key.host.faults = [fault] if fault else []
        execution = with_key.start(**YESTERDAY)
        status, _ = with_key.end(execution)
        assert (status == "SUCCEEDED") == (name == "succeeds"), name
        for place, text in everything(with_key, execution, capsys):
            assert KEY not in text, (name, place)
            places.add(place)
    assert len(places) > 20


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 413, 414, 429, 500, 503])
@pytest.mark.parametrize(
    "form", ['{"error": true, "reason": "%s is wrong"}', "%s", '{"reason": ["%s"]}', "x" * 299 + "%s"]
)
def test_a_host_that_repeats_the_api_key_does_not_get_it_into_a_message(capsys, status, form):
    body = (form % KEY).encode()
    head = b"HTTP/1.1 %d X\r\nContent-Type: text/%s\r\nContent-Length: %d\r\n\r\n" % (status, KEY.encode(), len(body))
    with HostileHost(lambda: iter([head, body])) as host:
        try:
            outcome = OpenMeteo(KEY).get(host.url)
        except PipelineError as error:
            shown = str(error)
        else:
            # a rejected city's reason is read from the stored body, so one with the key must not become that
            assert type(outcome).__name__ in ("TooLarge", "Unusable")
            shown = str(getattr(outcome, "error", "")) + getattr(outcome, "reason", "")
        assert KEY.encode() in host.received[0]
    shown += "".join(capsys.readouterr())
    assert KEY[:8] not in shown
