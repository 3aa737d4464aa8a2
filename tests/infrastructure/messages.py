"""The messages of the errors that the code makes, as their fixed words, read from its syntax trees."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("functions", "operations", "emulator", "deployment", "command_line", "dashboards")
# What stands for a value in a message.
VALUE = "…"
# What makes an error of its first text: the classes, and the functions that choose a class or add what a service said.
# ValueError has the texts of a line of the city list.
MAKERS = {
    "TransientError",
    "InvalidInputError",
    "UpstreamContractError",
    "LoadError",
    "UserError",
    "StorageError",
    "MetabaseError",
    "ArgumentTypeError",
    "ValueError",
    "failure_of",
    "_incomplete",
    "database_errors",
    "cls",
}
# Their messages reach nobody: each is caught where it is raised.
INTERNAL = {"_ObjectExistsError", "TimeoutError"}


@dataclass(frozen=True, slots=True)
class Message:
    """The fixed words of a message, with VALUE for each value, and where the code makes it."""

    text: str
    place: str


def messages() -> list[Message]:
    """Return the message of each error that the code makes; those without a fixed word pass on another's."""
    found = []
    for path in _files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function, call in _calls(tree):
            for text in _texts(call, function):
                if any(character.isalpha() for character in text):
                    found.append(Message(text, f"{path.relative_to(ROOT)}:{call.lineno}"))
    return found


def raised() -> set[str]:
    """Return the name of each class or function whose result the code raises, where it is written there."""
    nodes = (node for path in _files() for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    errors = (node.exc for node in nodes if isinstance(node, ast.Raise) and node.exc)
    return {_name(error) for error in errors}


def error_classes() -> set[str]:
    """Return the names of the exception classes that the code defines."""
    nodes = [node for path in _files() for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return {
        node.name
        for node in nodes
        if isinstance(node, ast.ClassDef) and any(_name(base).endswith(("Error", "Exception")) for base in node.bases)
    }


def _files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def _calls(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.Call]]:
    """Yield each call that makes an error, with the innermost function around it."""
    around: dict[ast.AST, ast.AST] = {}
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            around[child] = node if isinstance(node, ast.FunctionDef | ast.Module) else around[node]
        if isinstance(node, ast.Call) and _name(node.func) in MAKERS:
            yield around[node], node


def _texts(call: ast.Call, function: ast.AST) -> list[str]:
    """Return the texts that the first argument may be: it is a text, or a name that the function gives texts to."""
    if not call.args:
        return []
    first = call.args[0]
    if isinstance(first, ast.Name):
        assigned = [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == first.id
        ]
        return [_text(value) for value in assigned]
    return [_text(first)]


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(map(_text, values))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
        case _:
            return VALUE


def _name(node: ast.expr) -> str:
    match node:
        case ast.Call(func=func):
            return _name(func)
        case ast.Attribute(attr=attr):
            return attr
        case ast.Name(id=name):
            return name
        case _:
            return ast.unparse(node)
