"""Scripts outside of any package as modules, so that tests run the same code, of validations on fewer seeds."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "validation"


def script(name: str) -> ModuleType:
    """Module of a script of the validation."""
    return module_of(FOLDER / f"{name}.py", f"validation_{name}")


def module_of(path: Path, name: str) -> ModuleType:
    """Module of a file."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Workers and dataclasses look it up by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
