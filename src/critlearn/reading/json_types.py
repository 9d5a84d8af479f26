"""Types of the entries of JSON files that critlearn wrote: strict, as nothing converts them before they are used."""

from typing import Annotated, TypeAlias

from pydantic import Field

Number: TypeAlias = Annotated[float, Field(strict=True)]
"""Number, whole or not; a text with digits is none."""

Whole: TypeAlias = Annotated[int, Field(strict=True)]

Count: TypeAlias = Annotated[int, Field(strict=True, ge=0)]

Flag: TypeAlias = Annotated[bool, Field(strict=True)]

Series: TypeAlias = list[Number | None]
"""Numbers, null where one does not exist."""

Plain: TypeAlias = Number | Flag | str | None
