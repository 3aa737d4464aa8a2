"""The schema and the load rules as text: tables, statements, lists and comparisons, whatever their phrasing."""

import re

from functions.model import database


def plain(text):
    """Return SQL in lower case without comments and texts, each parameter as ``:name``."""
    text = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(r"'(?:[^']|'')*'", "''", text)
    return re.sub(r"\s+", " ", re.sub(r"%\((\w+)\)s", r":\1", text)).strip().lower()


def read(folder):
    """Return the statements of each file of a folder below sql/."""
    files = sorted((database.SQL / folder).glob("*.sql"))
    return {path.name: [each.strip() for each in plain(path.read_text("utf-8")).split(";")] for path in files}


def inside(text, opening):
    """Return what is between the parenthesis at ``opening`` and the one that closes it."""
    depth = 0
    for place in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return text[opening + 1 : place]
    raise AssertionError(f"no ) for: {text[opening:]}")


def split(text, separators=","):
    """Split at each separator that is in no parentheses."""
    depth, parts = 0, [""]
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 and character in separators:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def lists(statement):
    """Yield each list in parentheses with the word before it."""
    for found in re.finditer(r"(\w*)\s*\(", statement):
        yield found[1], split(inside(statement, found.end() - 1))


def column_of(expression):
    """Return the column that an expression passes on (``city``, ``trim_scale(new.city)``, ``:city``), or None."""
    found = re.fullmatch(r"(?:trim_scale\()?(?:\w+\.|:)?([a-z_]\w*)\)?", expression)
    return found and found[1]


def definitions(body):
    """Return the columns of a CREATE TABLE with their definitions, and its key."""
    columns, key = {}, set()
    for each in split(body):
        name, _, definition = each.partition(" ")
        if name == "primary":
            key = set(split(inside(each, each.index("("))))
        elif name not in ("unique", "constraint", "check", "foreign", "exclude", "like"):
            columns[name] = definition.strip()
            if "primary key" in definition:
                key = {name}
    return columns, key


def created(statements):
    """Return the tables that statements create, each with its columns, and the keys; ALTER TABLE is followed."""
    columns, keys = {}, {}
    for statement in statements:
        made = re.match(r"create (?:temporary |temp |unlogged )?table (?:if not exists )?(\w+) \(", statement)
        changed = re.match(r"alter table (?:if exists )?(?:only )?(\w+) (.*)", statement)
        if made:
            columns[made[1]], keys[made[1]] = definitions(inside(statement, made.end() - 1))
        for action in split(changed[2]) if changed else ():
            if added := re.match(r"add (?:column )?(?:if not exists )?(?!constraint|primary|check)(\w+) (.*)", action):
                columns[changed[1]][added[1]] = added[2]
            elif dropped := re.match(r"drop column (?:if exists )?(\w+)", action):
                del columns[changed[1]][dropped[1]]
            elif renamed := re.match(r"rename column (\w+) to (\w+)", action):
                table = columns[changed[1]]
                columns[changed[1]] = {renamed[2] if name == renamed[1] else name: table[name] for name in table}
    return columns, keys


def type_of(definition):
    """Return the type with its collation, without constraints and default."""
    constraint = r" (?:not null|null|references|check|default|primary|generated|unique)\b.*"
    return re.sub(constraint, "", f" {definition}").strip()


SCHEMA = [statement for statements in read("schema").values() for statement in statements]
LOAD = read("load")
STATEMENTS = [statement for statements in LOAD.values() for statement in statements]
TABLES, KEYS = created(SCHEMA)
VIEWS = {made[1] for each in SCHEMA if (made := re.match(r"create (?:or replace )?view (\w+)", each))}


def writes(table):
    """Return the lists of columns that loads insert into a table, and those that they set, each with its values."""
    inserted, updated = [], []
    for statement in STATEMENTS:
        if not re.search(rf"\b(?:merge into|insert into|update) {table}\b", statement):
            continue
        for found in re.finditer(r"\binsert (?:into \w+ )?(?:as \w+ )?(?=\(|values)", statement):
            rest = statement[found.end() :]
            columns = list(TABLES[table])
            if rest.startswith("("):
                body = inside(rest, 0)
                columns, rest = split(body), rest[len(body) + 2 :].strip()
            if rest.startswith("values"):
                values = split(inside(rest, rest.index("(")))
            else:
                values = split(re.split(r" from\b", rest.removeprefix("select "))[0])
            inserted.append((columns, values))
        for found in re.finditer(r"\bset (?!local)", statement):
            body = re.split(r" (?:when (?:not )?matched|where|returning|from)\b", statement[found.end() :])[0]
            updated.append(dict(pair for each in split(body) for pair in assignments(each)))
    return inserted, updated


def assignments(text):
    """Return the columns of ``column = value`` or ``(column, ...) = (value, ...)``, each with its value."""
    columns, values = (part.strip() for part in text.split("=", 1))
    if not columns.startswith("("):
        return [(columns, values)]
    return list(zip(split(inside(columns, 0)), split(inside(values, values.index("("))), strict=True))


def comparisons(statement):
    """Yield the two rows of each comparison of rows, without the tables' names."""
    for found in re.finditer(r"\) (?:is (?:not )?distinct from|=|<>|<=?|>=?) \(", statement):
        opening = next(
            place
            for place in range(found.start(), -1, -1)
            if statement[place] == "(" and len(inside(statement, place)) == found.start() - place - 1
        )
        pair = inside(statement, opening), inside(statement, found.end() - 1)
        yield tuple([re.sub(r"\b\w+\.", "", each) for each in split(row)] for row in pair)
