"""How much is read of a file that anybody may have made: a machine with 8 GiB holds it beside a network."""

from typing import Final

LARGEST_CONTENT: Final = 4 << 30
"""Bytes of arrays that stand in a file as they are: such a file is as large itself."""

LARGEST_TEXT: Final = 1 << 30
"""Bytes of a text file as it stands, some 50 million numbers: it takes several times that to parse, which whoever has a
file of that size expects."""

LARGEST_EXPANDED: Final = 256 << 20
"""Bytes of arrays and tables that a compressed file expands to, a thousandth of which it may be itself: 30 million
numbers. What is done with them takes two or three times that."""

LARGEST_UNSEEN_TEXT: Final = 64 << 20
"""Bytes of text that a compressed file expands to, and characters on standard input, of which nobody has seen the size:
some 3 million numbers. Parsed they take some ten times that, which stays under 1 GiB and ten seconds."""

LARGEST_DOCUMENT: Final = 64 << 20
"""Bytes of a JSON document: a record with the correlations of a thousand modes takes 20 MiB."""

MOST_VALUES: Final = 4_000_000
"""Values of a JSON document: four times those correlations, in some 400 MiB of memory."""

LARGEST_STUDY: Final = 1 << 20
"""Bytes of YAML: the parser, in Python, takes seconds for as much."""

MOST_NODES: Final = 100_000
"""Values of YAML with all aliases written out: as many as the cells that a study may have."""

DEEPEST: Final = 64
"""Levels of lists and mappings in YAML and JSON: records have nine, and what walks through them may recurse."""

LONGEST_NUMBER: Final = 100
"""Characters of a number in YAML: a float has 24, an integer of 64 bits 20."""

MOST_COLUMNS: Final = 20_000
"""Columns of a table in text: the genes of an expression matrix; a reader of columns takes seconds for as many."""

LONGEST_NAME: Final = 1000
"""Characters of the name of a column."""
