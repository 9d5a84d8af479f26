"""The version of the code that a store notes with each cell."""

import hashlib
from pathlib import Path

import critlearn
from critlearn.studies.sweep.results.store import code_version


def test_the_version_of_the_code_follows_the_sources_of_all_packages() -> None:
    root = Path(critlearn.__file__).parent
    names = sorted(path.relative_to(root) for path in root.rglob("*.py"))
    assert {"inference", "network", "studies"} <= {name.parts[0] for name in names}
    content = b"".join(name.as_posix().encode() + (root / name).read_bytes() for name in names)
    assert code_version() == f"{critlearn.__version__}+{hashlib.sha256(content).hexdigest()[:12]}"
