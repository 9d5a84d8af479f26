"""Scripts of the validation as modules, so that tests run the same code on fewer seeds."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "validation"


def script(name: str) -> ModuleType:
    """Module of one script, which lies outside of any package."""
    spec = importlib.util.spec_from_file_location(f"validation_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Workers and dataclasses look it up by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
