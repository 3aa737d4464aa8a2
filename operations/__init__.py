"""The operations behind the commands: each returns a typed result and prints nothing."""
