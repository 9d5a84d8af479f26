"""Import paths: objects of a user's own, named as ``package.module:name``."""

import importlib
import re
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from critlearn.errors import InvalidInputError
from critlearn.numerics.array_file import first_line

_IMPORT_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""Names of a module, with dots between them, a colon, and the name of an object."""

_FAMILIES: Final = ("digits:", "flights:", "openml:", "power:")
"""Beginnings of names of data sets and losses that have that form too."""


def is_import_path(text: str) -> bool:
    """Whether a text has the form ``package.module:name``."""
    return _IMPORT_PATH.fullmatch(text) is not None and not text.startswith(_FAMILIES)


def import_object(path: str, kind: str) -> Any:
    """Import the object that a path names; modules in the current folder are found too.

    Raises
    ------
    InvalidInputError
        If the module cannot be imported, or has no such name.
    """
    module_name, _, name = path.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as problem:
        # Whatever a user's own module raises is an error of that module, not of critlearn.
        what = first_line(problem)
        raise InvalidInputError(f'{kind} "{path}": cannot import "{module_name}": {what}') from problem
    if not hasattr(module, name):
        near = get_close_matches(name, dir(module), n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise InvalidInputError(f'{kind} "{path}": module "{module_name}" has no "{name}"{hint}')
    return getattr(module, name)
