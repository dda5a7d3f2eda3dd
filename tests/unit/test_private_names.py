"""Private names of Keras and TensorFlow are used in tfps/_keras/ and tfps/_tensorflow/ only.

ruff checks imports; this checks attributes (`x._name`, `getattr(x, "_name")`, `tf.__internal__`)
and methods that override a private one.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TFPS = Path(__file__).parents[2] / "tfps"
PACKAGES = [TFPS / "_keras", TFPS / "_tensorflow"]
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = {"_asdict", "_exit", "_fields", "_make", "_replace"}  # of named tuples and `os`


def private(name: str) -> bool:
    return name == "__internal__" or (name.startswith("_") and not name.endswith("__"))


def table(package: Path) -> set[str]:
    """Return the private names in the table of a package's docstring."""
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    return {name for name in re.findall(r"\b_\w+", docstring) if private(name)}


def uses(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each private attribute that is used, and its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            yield node.attr, node.lineno
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "delattr", "getattr", "hasattr", "setattr",
        }:  # fmt: skip
            for argument in node.args:
                if isinstance(argument, ast.Constant) and private(str(argument.value)):
                    yield str(argument.value), node.lineno


def methods(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield each private method that is defined, and its line."""
    for scope in ast.walk(tree):
        for node in scope.body if isinstance(scope, ast.ClassDef) else ():
            if isinstance(node, FUNCTION) and private(node.name):
                yield node.name, node.lineno


def defined(tree: ast.AST) -> set[str]:
    """Return all names that are defined: functions, classes, attributes and variables."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, FUNCTION | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def faults(trees: dict[str, ast.AST], reserved: set[str]) -> list[str]:
    """Return a line for each private name in `trees` that these neither define nor may use."""
    own = set().union(*map(defined, trees.values())) - reserved
    return [
        f"{file}:{line}: {name} is private to another package: use it in tfps/_keras/ or "
        "tfps/_tensorflow/ only, and add it to the table there"
        for file, tree in trees.items()
        for name, line in sorted({*uses(tree), *methods(tree)})
        if name not in own | DOCUMENTED
    ]


def test_other_parts_of_tfps_use_no_private_name() -> None:
    files = [file for file in TFPS.rglob("*.py") if not set(PACKAGES) & set(file.parents)]
    trees: dict[str, ast.AST] = {
        str(file.relative_to(TFPS.parent)): ast.parse(file.read_text()) for file in files
    }
    reserved = set().union(*map(table, PACKAGES))
    assert not faults(trees, reserved)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.name))
def test_the_table_has_each_private_name_that_is_used(package: Path) -> None:
    trees = [ast.parse(file.read_text()) for file in package.glob("*.py")]
    own = set().union(*map(defined, trees))
    used = {name for tree in trees for name, _ in uses(tree)}
    assert not (used - own) - table(package) - {"__internal__"}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: str(package.name))
def test_each_private_name_in_the_table_is_tested(package: Path) -> None:
    tests = Path(__file__).with_name(f"test_private{package.name}.py").read_text()
    assert not {name for name in table(package) if not re.search(rf"\b{name}\b", tests)}


@pytest.mark.parametrize(
    "code",
    [
        "model._distribute_strategy",
        "getattr(model, '_distribute_strategy')",
        "tf.__internal__.FuncGraph",
        "class A(Extended):\n    def _create_variable(self): ...",
        "class A(Strategy):\n    def __init__(self):\n        self._extended = None",
    ],
)
def test_a_private_name_is_found(code: str) -> None:
    reserved = {"_create_variable", "_extended"}
    assert len(faults({"file.py": ast.parse(code)}, reserved)) == 1


@pytest.mark.parametrize(
    "code",
    ["self._own = 1\nother._own", "def _own(): ...\n_own()", "row._replace(a=1)", "os._exit(1)"],
)
def test_other_names_are_left_alone(code: str) -> None:
    assert not faults({"file.py": ast.parse(code)}, set())


def test_no_other_class_overrides_a_private_method() -> None:
    importlib.import_module("tfps.strategy")
    modules = [module for name, module in sys.modules.items() if name.startswith("tfps.")]
    classes = {item for module in modules for item in vars(module).values() if is_class(item)}
    overridden = [
        f"{cls.__module__}.{cls.__name__}.{name}"
        for cls in classes
        for base in cls.__mro__
        if base.__module__.startswith(("keras", "tensorflow"))
        for name in vars(cls).keys() & vars(base).keys()
        if private(name) and name != "_abc_impl"
    ]
    assert not overridden


def is_class(item: object) -> bool:
    packages = tuple(f"tfps.{package.name}" for package in PACKAGES)
    return (
        isinstance(item, type)
        and item.__module__.startswith("tfps.")
        and not item.__module__.startswith(packages)
    )
