"""Write the exponents of all pairs of the catalogue, which ``critlearn table`` shows.

python docs/make_table.py
"""

import csv
import io

from critlearn.compositions.named.table import COLUMNS, SHIPPED, whole_table
from critlearn.whole_files import write_whole


def main() -> None:
    """Compute and write them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(whole_table())
    write_whole(SHIPPED, text.getvalue().encode())


if __name__ == "__main__":
    main()
