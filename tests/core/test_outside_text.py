"""Text from outside in messages, logs and JSON: its length has a bound, and what is not visible is escaped."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.errors import InvalidInputError, LoadError, TransientError, UpstreamContractError, missing_or_wrong
from functions.core.observability import invocation, logger
from functions.core.text import JOINERS, LENGTH, LINES, MESSAGE_LENGTH, bounded, escaped, excerpt, json_text, quoted

# Any characters, halves of surrogate pairs too; many of those that are escaped, and of those that take most bytes.
SPECIAL = st.sampled_from("\x1b\u202e\n\ud800\u200c\u200d\U0001f327\U000e0041\\a")
TEXTS = st.lists(st.one_of(st.characters(codec=None), SPECIAL)).map("".join)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda values: st.one_of(st.lists(values), st.dictionaries(TEXTS, values)),
    max_leaves=10,
)

# A terminal's colour and title, C1 control, direction marks, line and paragraph separators, a space that is none.
HOSTILE = "\x1b[31m\x1b]0;t\x07 \x9b1m \u202e\u2066\u200f \u2028\u2029\r\n\t\u00a0\ufeff \ud800 \x00"


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_what_is_not_visible_is_escaped_and_the_letters_of_any_script_stay():
    assert escaped(HOSTILE).isprintable()
    assert escaped("\x1b \u202e \n \ud800") == "\\x1b \\u202e \\n \\ud800"
    assert escaped("Côte d'Ivoire 東京 کوه\u200cدشت") == "Côte d'Ivoire 東京 کوه\u200cدشت"


@pytest.mark.parametrize("text", ["a" * 7_340_032, "\U0001f327" * 1000, HOSTILE * 1000, b"\xff" * 5000])
@pytest.mark.parametrize("shown", [excerpt, quoted])
def test_an_excerpt_is_bounded_in_bytes_and_says_how_much_was_cut(text, shown):
    short = shown(text, rest="the raw object has it all")
    assert len(short.encode()) <= LENGTH
    unit = "bytes" if isinstance(text, bytes) else "characters"
    assert f"… (cut, {len(text):,} {unit}; the raw object has it all)" in short
    assert short.isprintable()


@given(TEXTS)
def test_an_escaped_text_has_only_what_is_visible_and_is_not_escaped_again(text):
    for keep in (JOINERS, LINES, ""):
        shown = escaped(text, keep)
        assert all(character.isprintable() or character in keep for character in shown)
        assert escaped(shown, keep) == shown
        # nothing is lost: the rest of the text is in its place
        assert [each for each in text if each.isprintable()] == [
            each for each in text if each in shown and each.isprintable()
        ]


@given(st.one_of(TEXTS, st.binary(), JSON), st.integers(100, 400), st.integers(0, 60))
def test_an_excerpt_of_anything_is_bounded_in_bytes_visible_and_its_own_excerpt(value, length, times):
    longer = value * times if isinstance(value, str | bytes) else value
    for text in (excerpt(longer, length), excerpt(longer, length, "the raw object has it all")):
        assert len(text.encode()) <= length
        assert all(character.isprintable() or character in JOINERS for character in text)
        assert excerpt(text, length) == text
    assert len(quoted(longer, length).encode()) <= length
    assert quoted(longer, length).isprintable()


@given(JSON)
def test_any_json_keeps_its_meaning_is_bounded_and_has_nothing_that_controls_a_terminal(value):
    shown = json_text(value)
    assert all(character.isprintable() or character in LINES for character in shown)
    assert json.loads(shown) == json.loads(json.dumps(value))
    assert bounded(bounded(value)) == bounded(value)


def test_a_text_within_the_bound_is_whole():
    assert excerpt("a" * LENGTH) == "a" * LENGTH
    assert quoted("kigali") == "'kigali'"
    assert quoted(5) == "5"


@pytest.mark.parametrize("value", [10**5000, nested(100_000)], ids=["digits", "depth"])
def test_a_value_without_a_text_has_an_excerpt(value):
    assert excerpt(value) == quoted(value) == f"a {type(value).__name__} that has no text"


@pytest.mark.parametrize("error", [TransientError, InvalidInputError, UpstreamContractError, LoadError])
def test_the_message_of_an_error_is_bounded_and_escaped_whatever_it_was_made_from(error):
    message = str(error(HOSTILE + "x" * 7_340_032))
    assert len(message.encode()) <= MESSAGE_LENGTH
    assert message.isprintable()


def test_a_missing_key_and_a_wrong_field_are_excerpts():
    for error in (KeyError("k" * 10_000), TypeError("t" * 10_000)):
        assert len(missing_or_wrong(error)) <= LENGTH + len(" is missing")


def test_json_keeps_its_meaning_and_has_nothing_that_controls_a_terminal():
    value = {"text": HOSTILE, "emoji": "\U0001f327", "hidden": "\U000e0041"}
    assert json.loads(json_text(value, indent=2)) == value
    assert json_text(value, indent=2).replace("\n", "").isprintable()
    assert "\U0001f327" in json_text(value)


def test_a_log_line_bounds_and_escapes_every_text_and_the_causes_of_an_error(capsys):
    def fail():
        try:
            raise ValueError("c" * 7_340_032 + "\x1b\u202e")
        except ValueError as error:
            raise LoadError(f"warehouse: {error}") from error

    with pytest.raises(LoadError), invocation("model", None) as current:
        current.identify(run_id="\u202e" * 10_000)
        fail()
    (line,) = (each for each in capsys.readouterr().out.splitlines() if '"level"' in each)
    assert len(line) < 20_000
    assert line.isprintable()
    entry = json.loads(line)
    assert entry["message"].startswith("warehouse: ccc")
    assert entry["exception"].splitlines()[-1].startswith("functions.core.errors.LoadError: warehouse: ccc")
    assert "in fail" in entry["exception"]


def test_a_log_line_of_an_ordinary_message_is_unchanged(capsys):
    logger.info("12 rows loaded", rows=12, share=0.5, city="Å Ville")
    entry = json.loads(capsys.readouterr().out)
    assert (entry["message"], entry["rows"], entry["share"], entry["city"]) == ("12 rows loaded", 12, 0.5, "Å Ville")
    assert entry["level"] == logging.getLevelName(logging.INFO)
