"""The runbook has every alarm, every error and every message that the code can end with, and names only those."""

import json
import re
import shlex

import pytest
from messages import INTERNAL, MAKERS, ROOT, error_classes, messages, raised
from template_and_code import RESOURCES

from command_line.main import parser
from functions.core.contracts import _ENDS, UNCAUGHT_ERRORS

PAGE = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
MACHINES = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "statemachine").glob("*.json"))
}
MESSAGES = messages()
WHOLE = {message.text for message in MESSAGES}
# The values that stand in for a placeholder of a command.
PLACEHOLDERS = {"YYYY-MM-DD": "2026-01-01", "N": "1"}


def sections():
    """The rows of the tables by section, each row as its cells."""
    found = {}
    for part in PAGE.split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        rows = [line.strip("|").split(" | ") for line in body.splitlines() if line.startswith("| ")]
        found[title] = [[cell.strip() for cell in row] for row in rows if row[0].strip() != ""]
    return found


def codes(cell):
    return re.findall(r"`([^`]+)`", cell)


FAMILIES = [codes(row[0]) for title, rows in sections().items() if title.startswith("Messages: ") for row in rows[1:]]


def is_of(words, text):
    """Words that are the whole of a message stand for that one, others for each that has them."""
    return words == text or (words not in WHOLE and words in text)


def states(machine):
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


def test_each_alarm_of_the_template_has_a_row_and_no_other():
    alarms = {name for name, each in RESOURCES.items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    assert {codes(row[0])[0] for row in sections()["Alarms"][1:]} == alarms


def test_each_message_on_the_topic_has_a_row():
    subjects = {
        state["Parameters"]["Subject"]
        for machine in MACHINES.values()
        for _, state in states(machine)
        if state.get("Resource", "").endswith("sns:publish")
    }
    assert len(subjects) == 4
    assert subjects <= {code for row in sections()["Messages on the topic"] for code in codes(row[0])}


def test_each_error_that_ends_an_execution_has_a_row():
    """Those that the definitions retry or make, those that no Catch catches, and those of an end without an error."""
    named = {error for error, _ in _ENDS.values()} | set(UNCAUGHT_ERRORS)
    for machine in MACHINES.values():
        for _, state in states(machine):
            named |= {error for retry in state.get("Retry", ()) for error in retry["ErrorEquals"]}
            named |= {state["Parameters"]["Error"]} if "Error" in state.get("Parameters", {}) else set()
    named = {error for error in named if error != "States.ALL" and not error.startswith("SNS.")}
    assert "ItemsFailed" in named
    rows = {code for row in sections()["Errors of a run"] for code in codes(row[0])}
    assert named <= rows
    assert {name for name in error_classes() if name.endswith("Error")} - {"PipelineError", *INTERNAL} <= set(
        re.findall(r"\w+Error", PAGE)
    )


def test_every_raised_error_is_made_where_its_message_can_be_read():
    passed_on = {"error", "source.error or error", "_unknown", "of"}
    assert raised() - passed_on - INTERNAL <= MAKERS


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.place)
def test_each_message_of_the_code_is_in_one_row_of_the_runbook(message):
    rows = [row for row in FAMILIES if any(is_of(words, message.text) for words in row)]
    assert len(rows) == 1, (message.text, rows)


def test_each_row_has_words_of_a_message_of_the_code():
    every = [words for row in FAMILIES for words in row]
    assert len(every) > 100
    assert [words for words in every if not any(is_of(words, text) for text in WHOLE)] == []


def test_each_row_says_what_it_means_what_to_do_and_how_it_was_tried():
    for title, rows in sections().items():
        if title != "Where to look first":
            for row in rows[1:]:
                assert len(row) == len(rows[0]), row
                assert all(row), row


def test_each_test_that_the_page_names_is_there():
    named = set(re.findall(r"`(test_\w+\.py)`", PAGE))
    assert named
    assert named <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`ikirere (\w[^`]*)`", PAGE))))
def test_each_command_of_the_page_is_one_that_ikirere_understands(command):
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
    assert parser().parse_args(words).command
