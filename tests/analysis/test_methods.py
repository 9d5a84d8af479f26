"""The paragraph on methods says what the record says."""

from critlearn.analysis import Analysis


def test_methods_give_the_numbers_of_the_analysis(two_class: Analysis) -> None:
    text, record = two_class.methods(), two_class.record
    assert "sigmoid+bce on moons: 2,000 samples" in text
    assert f"accuracy {record['accuracy']:.1%}" in text
    assert record["equilibrium"]["reason"] in text
    assert f"torch {record['versions']['torch']}" in text
    outcomes = two_class.table.agreement.tolist()
    assert f"For {len(outcomes)} quantities the density was predicted" in text
    counts = [outcomes.count(word) for word in ("agrees", "disagrees", "cannot tell")]
    assert "{} agree, {} disagree, and {} cannot be told".format(*counts) in text
    assert "\n" not in text
    assert "None" not in text
