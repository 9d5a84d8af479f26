"""The lock file is that of the pinned versions, with hashes and without addresses."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_lock_file_has_a_hash_for_each_pinned_version() -> None:
    pinned = re.findall(r"^([^#\s]+==\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    locked = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"^(?=\w)", locked, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in locked
    assert sorted(map(_plain, pinned)) == sorted(["torch==" + _version_of_torch(pinned), *map(_plain, entries)])


def _plain(entry: str) -> str:
    """Name and version, in the spelling that all tools agree on."""
    return re.sub(r"[-_.]+(?=.*==)", "-", entry.split()[0].lower())


def _version_of_torch(pinned: list[str]) -> str:
    (version,) = (entry.removeprefix("torch==") for entry in pinned if entry.startswith("torch=="))
    return version
