"""The data dictionary as a page, printed: ``make dictionary`` writes it to ``docs/data-dictionary.md``."""

from functions.core.dictionary import CREDIT, KINDS, Column, Table, tables

_HEAD = f"""\
# Data dictionary

Made by `make dictionary` from `functions/core/data/dictionary/`, as are the comments of the warehouse, Metabase's
descriptions and the schema of an export ([decision 23](decisions/0023-export.md)); do not edit it here.

A unit of 1 is that of counts, ratios and indices. What is no quantity has a kind: {", ".join(KINDS)}.
Where a measure has another name (of ETCCDI, ECA&D or the WMO), the page says so, with a link to its definition. Days
are the city's local days, times are UTC. A null is a value that is not known; it is never a zero.

{CREDIT}
"""


def page() -> str:
    """Return the page: first the tables for readers, then those of the pipeline itself."""
    chosen = sorted(tables().values(), key=lambda table: (not table.is_for_readers, table.name))
    return "\n".join([_HEAD, *map(_section, chosen)])


def _section(table: Table) -> str:
    about = table.description if table.is_for_readers else f"{table.description} Readers have no right to it."
    rows = [_row(column) for column in table.columns.values()]
    return "\n".join([f"## {table.name}\n", f"{about}\n", "| column | unit | |", "|---|---|---|", *rows, ""])


def _row(column: Column) -> str:
    more = column.standard
    if column.source:
        more = f"[{more or 'definition'}]({column.source})"
    text = f"{column.description}{f' {more}.' if more else ''}".replace("|", "\\|")
    return f"| `{column.name}` | {column.unit} | {text} |"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201  # a script that prints its result
