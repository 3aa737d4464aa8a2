"""The one error that a user can correct."""


class UserError(Exception):
    """A command is used wrongly, or this machine does not let it work: exit code 2.

    Its message names what failed, where, and what to do next.
    """
