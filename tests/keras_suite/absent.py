"""Stand-ins for packages that Keras's tests import, and that are not installed.

Most tests in such a file do not use the package. One that calls something of it is skipped.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
import unittest
from collections.abc import Sequence
from typing import Any

PACKAGES = frozenset({"grain", "jax", "pandas", "torch"})


def install() -> None:
    """Let an import of one of `PACKAGES` give a stand-in if the package is not installed.

    To be called once Keras is imported, so that Keras itself goes without them.
    """
    sys.meta_path.append(_Finder())


class _Absent(type):
    """The class of names of an absent package: any of them can be a base class, or looked into."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{cls.__name__}.{name}", (), {})

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise unittest.SkipTest(f"{cls.__name__} is called, and it is not installed")


class _Module(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Absent(f"{self.__name__}.{name}", (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in PACKAGES:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Leave the module empty: its names are made when they are asked for."""
