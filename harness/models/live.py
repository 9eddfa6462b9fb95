"""A model that is already in memory, for example in a notebook, and the hash of its code."""

from __future__ import annotations

import contextlib
import dis
import functools
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch

from harness.core.hashing import sha256_of

IN_MEMORY = "(in memory)"
"""The module of such a model in result rows."""

_ADDRESS = re.compile("0x[0-9a-f]+")
_CONSTANT = (bool, int, float, complex, str, bytes, tuple, frozenset, type(None), type(...))


@dataclass(frozen=True, eq=False)
class LiveModel:
    """A model in memory. It is used as it is, and never moved, copied or pickled.

    Attributes:
        model: as ``load_model`` of the HEAR API returns it.
        functions: a module, class or object with ``get_scene_embeddings`` and
            ``get_timestamp_embeddings``.
    """

    model: Any
    functions: Any

    def code_sha256(self) -> str:
        """Return a hash of the embedding code: the two functions, the model and what they use.

        Installed packages are not included, except the names of the model's layers. The hash
        depends on the version of Python.
        """
        code = _Code()
        code.add("scene", self.functions.get_scene_embeddings)
        code.add("timestamps", self.functions.get_timestamp_embeddings)
        for part in _parts(self.model):
            code.add("layer", type(part))
        layers = _ADDRESS.sub("", repr(self.model)) if _parts(self.model) else ""
        return sha256_of([layers, type(self.model).__qualname__, sorted(code.found)])

    @contextlib.contextmanager
    def borrowed(self) -> Iterator[None]:
        """Restore the training mode of every layer when the block ends."""
        modes = [(part, part.training) for part in _parts(self.model)]
        try:
            yield
        finally:
            for part, mode in modes:
                part.training = mode


def _parts(model: object) -> list[torch.nn.Module]:
    return list(model.modules()) if isinstance(model, torch.nn.Module) else []


class _Code:
    """Collects the code of functions and classes, and of what they refer to by name."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._seen: set[int] = set()
        self._kept: list[object] = []  # keeps objects alive, so that their ids are not used again

    def add(self, name: str, value: object) -> None:
        """Add the value of ``name``: a constant, a function, a class, or an object's class."""
        if isinstance(value, MethodType | staticmethod | classmethod):
            value = value.__func__
        if isinstance(value, _CONSTANT):
            self.found.append(f"{name} = {_constant(value)}")
        elif id(value) not in self._seen and not _is_installed(value):
            self._seen.add(id(value))
            self._kept.append(value)
            self.add(name, getattr(value, "__dict__", {}).get("__wrapped__"))
            if isinstance(value, FunctionType):
                self._add_function(value)
            elif isinstance(value, type):
                self._add_class(value)
            elif isinstance(value, property):
                self.add(name, value.fget)
            elif isinstance(value, functools.partial):
                for part in (value.func, value.args, *sorted(value.keywords.items())):
                    self.add(name, part)
            elif not isinstance(value, ModuleType):
                self.add(name, type(value))

    def _add_class(self, value: type) -> None:
        for base in value.__bases__:
            self.add(f"{value.__qualname__} base", base)
        for key, member in vars(value).items():
            if not key.startswith("__") or callable(member):
                self.add(f"{value.__qualname__}.{key}", member)

    def _add_function(self, function: FunctionType) -> None:
        where, codes = function.__qualname__, list(_nested(function.__code__))
        self.found += [f"{where}: {_text(code)}" for code in codes]
        defaults = [*enumerate(function.__defaults__ or ())]
        for key, value in [*defaults, *(function.__kwdefaults__ or {}).items()]:
            self.add(f"{where} default {key}", value)
        for key, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            with contextlib.suppress(ValueError):  # an empty cell
                self.add(f"{where} closure {key}", cell.cell_contents)
        names = {name for code in codes for name in code.co_names}
        changing = {name for code in codes for name in _assigned_globals(code)}
        for name in names - changing:
            value = function.__globals__.get(name)
            self.add(name, value)
            if isinstance(value, ModuleType) and not _is_installed(value):
                for each in names & set(vars(value)):
                    self.add(f"{name}.{each}", getattr(value, each))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _text(code: CodeType) -> str:
    constants = [_constant(each) for each in code.co_consts if not isinstance(each, CodeType)]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def _constant(value: object) -> str:
    """Return a constant as text that is the same in every process."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    return repr(value) if isinstance(value, _CONSTANT) else type(value).__qualname__


def _assigned_globals(code: CodeType) -> Iterable[str]:
    return [i.argval for i in dis.get_instructions(code) if i.opname == "STORE_GLOBAL"]


def _is_installed(value: object) -> bool:
    """Return whether an object is from the standard library or an installed package."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    top = str(name).partition(".")[0]
    if top in sys.builtin_module_names or top in sys.stdlib_module_names:
        return top != "__main__"
    file = getattr(sys.modules.get(top), "__file__", None)
    return file is not None and (
        bool({"site-packages", "dist-packages"} & set(Path(file).parts))
        or Path(file).is_relative_to(sysconfig.get_path("stdlib"))
    )
