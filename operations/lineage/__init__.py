"""The lineage of the marts: computed again from the raw objects and compared with the warehouse, or made from them.

The load rules are implemented here once more, in Python, and share no code with the SQL of ``functions/model``: the
comparison is worth something because two implementations agree. Only the reading of a response is Transform's own.
"""
