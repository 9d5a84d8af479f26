"""Tables whose columns could be taken for one another are refused."""

import pytest

from critlearn.errors import DataError
from critlearn.reading.csv_table import parsed_csv


@pytest.mark.parametrize("end", ["", ","])
def test_a_table_is_read_also_with_commas_at_the_ends_of_rows(end: str) -> None:
    frame = parsed_csv(f"size,other\n1,2{end}\n3,4{end}\n", "it")
    assert frame["size"].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size,other\n1,2,3\n", "it is no table: its rows have more fields than its first line has names"),
        ("size,other,size\n1,2,3\n", 'it is no table: 2 of its columns are called "size"'),
        ("", "it is empty"),
        ('a,b\n"1,2\n', "it is no table: "),
    ],
)
def test_what_is_no_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parsed_csv(text, "it")
