"""Objects of a user's own, named as ``package.module:name`` or ``path/file.py:name``."""

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from critlearn.errors import InvalidInputError, first_line

_MODULE_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""Names of a module, with dots between them, a colon, and the name of an object."""

_FILE_PATH: Final = re.compile(r".+\.py:[A-Za-z_]\w*")
"""Path of a file, a colon, and the name of an object."""

_OTHER_FAMILIES: Final = ("digits:", "flights:", "openml:", "power:")
"""Beginnings of other names with a colon."""


def is_import_path(text: str) -> bool:
    """Whether a text has the form ``package.module:name`` or ``path/file.py:name``."""
    if _FILE_PATH.fullmatch(text):
        return True
    return _MODULE_PATH.fullmatch(text) is not None and not text.startswith(_OTHER_FAMILIES)


def import_object(path: str, kind: str) -> Any:
    """Import the object that a path names; modules in the current folder are found too.

    Parameters
    ----------
    path
        Import path. The code of that file or module is run; its user has chosen it.
    kind
        What it is to be, for error messages.

    Raises
    ------
    InvalidInputError
        If the module cannot be imported, or has no such name.
    """
    module_name, _, name = path.rpartition(":")
    is_file = module_name.endswith(".py")
    if is_file and not Path(module_name).is_file():
        raise InvalidInputError(f'{kind} "{path}": no such file: "{module_name}"')
    folder = str(Path(module_name).resolve().parent if is_file else Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = _module_of_file(Path(module_name)) if is_file else importlib.import_module(module_name)
    except (Exception, SystemExit) as problem:
        # Whatever a user's own module raises is an error of that module, not of critlearn.
        what = said_by_code(problem)
        raise InvalidInputError(f'{kind} "{path}": cannot import "{module_name}": {what}') from problem
    if not hasattr(module, name):
        near = get_close_matches(name, dir(module), n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise InvalidInputError(f'{kind} "{path}": module "{module_name}" has no "{name}"{hint}')
    return getattr(module, name)


def made(found: Any, path: str, kind: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """What a class or a function makes of those arguments that are parameters of its own.

    Raises
    ------
    InvalidInputError
        If it raises, or needs other arguments.
    """
    try:
        return found(**_taken(found, arguments or {}))
    except (Exception, SystemExit) as problem:
        raise InvalidInputError(f'{kind} "{path}" cannot be made: {said_by_code(problem)}') from problem


def said_by_code(problem: BaseException) -> str:
    """What a user's code says of its error; one that stops the program says nothing."""
    return f"it stops with {problem!r}" if isinstance(problem, SystemExit) else first_line(problem)


def _taken(found: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that are parameters of a function."""
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        # Some of C have no signature.
        return {}
    return {name: value for name, value in arguments.items() if name in parameters}


def _module_of_file(path: Path) -> ModuleType:
    """Module of a file, which is run once, whatever else has its name."""
    resolved = path.resolve()
    # Two files of the same name in different folders are different modules.
    name = f"{resolved.stem}_{hashlib.sha256(str(resolved).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Before it is run, as classes look their module up.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
