"""The command line ``ikirere``: each command parses, calls one operation and prints its result."""
