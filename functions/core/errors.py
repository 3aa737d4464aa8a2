"""The errors that a function may raise. The class of an error decides what the state machine does with it.

Step Functions matches an error by its class name, so these names are part of the contract with
``statemachine/*.asl.json``; a test compares both.
"""

from functions.core.text import MESSAGE_LENGTH, excerpt, quoted


class PipelineError(Exception):
    """What the errors below have in common: a message that is escaped and bounded, whatever it was made from."""

    def __init__(self, message: str) -> None:
        super().__init__(excerpt(message, MESSAGE_LENGTH))


class TransientError(PipelineError):
    """A fault that may pass: the state machine retries it, with backoff, a cap and full jitter."""


class InvalidInputError(PipelineError):
    """Wrong input (event, city list, setting). Never retried: it would fail again."""


class UpstreamContractError(PipelineError):
    """A response of Open-Meteo that breaks its contract. The raw bytes are stored; never retried."""


class LoadError(PipelineError):
    """The warehouse rejected the load or is not in the state that the load needs. Never retried."""


def missing_or_wrong(error: Exception) -> str:
    """Return why reading a JSON object failed: the missing key, or else the error's message."""
    return f"{quoted(error.args[0])} is missing" if isinstance(error, KeyError) else excerpt(error)
