"""The paragraph on methods says what the record says."""

from critlearn.analysis import Analysis


def test_methods_give_the_numbers_of_the_analysis(two_class: Analysis) -> None:
    text, record = two_class.methods(), two_class.record
    assert "sigmoid+bce on moons: 2,000 samples" in text
    assert f"accuracy {record['accuracy']:.1%}" in text
    assert record["equilibrium"]["reason"] in text
    assert f"torch {record['versions']['torch']}" in text
    assert "For 4 quantities the density was predicted" in text
    rows = two_class.table
    compared = rows.agreement[rows.predicted_exponent.notna()].dropna()
    assert f"{sum(compared)} of {len(compared)} predicted exponents" in text
    assert "\n" not in text
    assert "None" not in text
