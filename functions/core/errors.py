"""The errors a function may raise. Each class says what the state machine does with it.

Step Functions matches an error by its class name, so these names are part of the contract with
``statemachine/*.asl.json``; a test holds both to each other.
"""


class TransientError(Exception):
    """Worth asking again: the state machine retries it, with backoff, a cap and full jitter."""


class InvalidInputError(Exception):
    """The caller's fault (event, city list, setting). Never retried: it would fail again."""


class UpstreamContractError(Exception):
    """Open-Meteo answered something its contract does not allow. The raw bytes are kept; never retried."""


class LoadError(Exception):
    """The warehouse refused the load or is not in the state the load needs. Never retried."""


def missing_or_wrong(error: Exception) -> str:
    """Why reading a JSON object failed, in words: the key that is missing, else what the error says."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
