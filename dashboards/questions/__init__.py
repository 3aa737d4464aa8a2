"""The questions of the dashboards and the HTML report: one SQL file each, with its title and description."""

import re
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent
_HEADER = re.compile(
    r"-- title: (?P<title>\S[^\n]*)\n-- description: (?P<description>\S[^\n]*)\n(?P<sql>(?!--).+)", re.DOTALL
)
# Metabase's optional clause: https://www.metabase.com/docs/latest/questions/native-editor/optional-variables
_OPTIONAL = re.compile(r"\[\[.*?\]\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Question:
    """One question. ``sql`` may contain Metabase's optional filters, as in ``WHERE true [[AND {{city}}]]``."""

    name: str
    title: str
    description: str
    sql: str

    @property
    def unfiltered_sql(self) -> str:
        """The SQL without its filters, for any Postgres client."""
        return _OPTIONAL.sub("", self.sql)


def load_question(name: str) -> Question:
    """Return the question in ``NAME.sql``. Raises ValueError when its two header lines are missing."""
    path = _FOLDER / f"{name}.sql"
    found = _HEADER.fullmatch(path.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path}: must begin with '-- title: ...' and '-- description: ...', then the SQL")
    return Question(name=name, **found.groupdict())


def question_names() -> list[str]:
    """Return the names of all questions, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.sql"))
