"""What the emulator refuses to do, in words for the person at the keyboard."""


class RefusalError(Exception):
    """The command is used wrongly or this machine does not let it work: exit code 2, nothing was started.

    The text says what failed, where, and what to do next.
    """
