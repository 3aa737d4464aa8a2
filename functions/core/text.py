"""Text from outside (responses, city lists, events, error messages of services) as people may see it: cut and escaped.

Where such a text enters a message, it is an ``excerpt`` or ``quoted``; the error classes cut the whole message again.
"""

import json
from collections.abc import Callable
from typing import Any

# The longest excerpt, in bytes of UTF-8: a message, a log line or a row of pipeline_run has several.
LENGTH = 300
# The longest message: the address of a request alone has up to 2 KB.
MESSAGE_LENGTH = 3000
# The end of an excerpt from a stored response.
IN_RAW_OBJECT = "the raw object has it all"
# Format characters that names in Persian and in Indian scripts contain; they control nothing.
JOINERS = "\u200c\u200d"
# What a text of several lines keeps.
LINES = f"\n{JOINERS}"


def escaped(text: str, keep: str = JOINERS) -> str:
    r"""Return the text with the escape sequence, such as ``\x1b``, of each character that is not visible.

    These are control characters, direction marks, line separators, spaces other than the usual one, halves of surrogate
    pairs and unassigned characters; those in ``keep`` stay.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )


def excerpt(value: object, length: int = LENGTH, rest: str = "", keep: str = JOINERS) -> str:
    """Return the text of a value (bytes as UTF-8), escaped and of at most ``length`` bytes of UTF-8.

    A text that is cut ends with its number of characters and ``rest``, which says where the whole text is.
    """
    is_bytes = isinstance(value, bytes | bytearray)
    whole = value if isinstance(value, str | bytes | bytearray) else _made_by(str, value)
    start = whole[:length]
    head = escaped(start if isinstance(start, str) else start.decode(errors="replace"), keep)
    if len(whole) <= length and len(head.encode()) <= length:
        return head
    end = f"\u2026 (cut, {len(whole):,} {'bytes' if is_bytes else 'characters'}{f'; {rest}' if rest else ''})"
    return head.encode()[: length - len(end.encode())].decode(errors="ignore") + end


def quoted(value: object, length: int = LENGTH, rest: str = "") -> str:
    """Return an excerpt of the representation of a value: a string and bytes are in quotes, with JOINERS escaped."""
    if isinstance(value, str | bytes | bytearray):
        return f"'{excerpt(value, length - 2, rest, keep='')}'"
    return excerpt(_made_by(repr, value), length, rest)


def bounded(value: Any) -> Any:
    """Return a JSON value with an excerpt, as long as a message, of each text and of what has no JSON type."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {excerpt(name): bounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [bounded(each) for each in value]
    return excerpt(value, MESSAGE_LENGTH, keep=LINES)


def json_text(value: Any, **options: Any) -> str:
    """Return a value as JSON in which the characters that are not visible are JSON escapes; its meaning is the same."""
    text = json.dumps(value, ensure_ascii=False, **options)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in LINES else json.dumps(character)[1:-1]
        for character in text
    )


def _made_by(maker: Callable[[object], str], value: object) -> str:
    try:
        return maker(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; a list that is nested as often
        return f"a {type(value).__name__} that has no text"
