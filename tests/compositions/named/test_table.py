from critlearn.compositions.named.table import catalogue_table, whole_table


def test_the_table_that_comes_with_the_package_is_the_computed_one() -> None:
    assert catalogue_table() == whole_table()
