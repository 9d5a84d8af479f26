"""A figure as it stands in a page: inside it, with words for those who do not see it."""

import base64
import io
from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure

_DOTS_PER_INCH: Final = 150


@dataclass(frozen=True)
class Picture:
    """A figure as it stands in the page."""

    source: str
    alternative: str
    caption: str


def picture(figure: Figure, alternative: str, caption: str) -> Picture:
    """Figure as a PNG inside the page."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    source = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")
    return Picture(source, alternative, caption)
