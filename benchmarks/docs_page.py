"""Pages of the docs that benchmarks write: whole or not at all, and section by section."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import NoReturn


class OneLineParser(argparse.ArgumentParser):
    """A parser of a command line whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Say it and leave with status 2."""
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(2)


def with_section(text: str, name: str, section: str, order: Sequence[str]) -> str:
    """A page with one of its sections replaced; all others stay as they are.

    Parameters
    ----------
    text
        The page so far, of sections with headings of level 2.
    name
        First word of the section's heading.
    section
        The new section, heading included.
    order
        Names in the order in which they follow one another: one that the page lacks comes after those before it.
    """
    introduction, *parts = re.split(r"(?m)^(?=## )", text)
    names = [_name(part) for part in parts]
    if name in names:
        at = names.index(name)
        del parts[at]
    else:
        before = order[: order.index(name)]
        at = max((place + 1 for place, other in enumerate(names) if other in before), default=0)
    parts.insert(at, section)
    return "".join(part.rstrip() + "\n\n" for part in [introduction, *parts]).rstrip() + "\n"


def _name(section: str) -> str:
    """First word of a section's heading."""
    return section.removeprefix("## ").split(maxsplit=1)[0].rstrip(":")
