"""The template as data, and what the code of its functions uses and counts."""

import ast
import re
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
RESOURCES = TEMPLATE["Resources"]
FUNCTIONS = {
    name.removesuffix("Function").lower(): resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}
STORES = ("RawStore", "ProcessedStore", "ObjectStore")
# Each stack has a namespace of its own for its metrics.
NAMESPACE = {"Ref": "AWS::StackName"}


def modules(function):
    """Return the text of the handler's module and of its direct and indirect imports, without the core."""
    waiting = [FUNCTIONS[function]["Handler"].rsplit(".", 1)[0]]
    found = {}
    while waiting:
        name = waiting.pop()
        path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
        if name in found or name.startswith("functions.core") or not path.is_file():
            continue
        found[name] = path.read_text(encoding="utf-8")
        imports = [node for node in ast.walk(ast.parse(found[name])) if isinstance(node, ast.ImportFrom)]
        waiting += [node.module for node in imports if node.module.startswith("functions.")]
    return found


def source(function):
    return "\n".join(modules(function).values())


def core_definitions():
    """Return the source of each core function, and of each method by ``Class.method``."""
    found = {}
    for path in (ROOT / "functions" / "core").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = ast.unparse(node)
            elif isinstance(node, ast.ClassDef):
                methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
                found |= {f"{node.name}.{method.name}": ast.unparse(method) for method in methods}
    return found


def used(function):
    """Return the core definitions that a function's code uses, by name; of a store's methods, those that it calls.

    A core function that one of those calls is used too, and a method of the same class.
    """
    definitions, text, found = core_definitions(), source(function), {}
    for name, body in definitions.items():
        owner, _, method = name.rpartition(".")
        if re.search(rf"\b{re.escape(name)}\b", text) or (
            owner in ("RawStore", "ProcessedStore", "ObjectStore")
            and owner in text
            and re.search(rf"\.{method}\b", text)
        ):
            found[name] = body
    waiting = list(found)
    while waiting:
        caller = waiting.pop()
        for name, body in definitions.items():
            owner, _, method = name.rpartition(".")
            call = rf"\bself\.{method}\(" if owner else rf"(?<!_){re.escape(name)}\("
            if name not in found and owner in ("", caller.rpartition(".")[0]) and re.search(call, found[caller]):
                found[name] = body
                waiting.append(name)
    return found


def counted(function):
    """Return the metrics that a function's handler counts."""
    tree = ast.parse((ROOT / "functions" / function / "handler.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        word.arg
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "count"
        for word in call.keywords
    }
