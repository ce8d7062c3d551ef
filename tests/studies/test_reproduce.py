import pytest

from steelyard.studies.reproduce import Experiment, beside_the_paper


def test_a_papers_difference_is_compared_with_the_mean_of_paired_differences() -> None:
    figures = [
        {"method": "a", "minus": "b", "measure": "accuracy", "value": 0.01},
        {"method": "a", "measure": "accuracy", "value": 0.9},
        {"method": "c", "minus": "b", "measure": "accuracy", "value": 0.0},
    ]
    asked = Experiment.model_validate(
        {"title": "t", "source": "s", "study": {}, "quick": {}, "figures": figures}
    )
    values = {("a", 0): 0.8, ("a", 1): 0.9, ("a", 2): 0.1, ("b", 0): 0.7, ("b", 1): 0.6}
    rows = [
        {"method": m, "seed": str(s), "fold": "0", "split": "test", "metric": "accuracy", "value": str(v)}
        for (m, s), v in values.items()
    ]
    difference, itself, absent = beside_the_paper(asked, {"": rows})
    assert difference["n"] == 2  # seed 2 has no partner
    assert difference["ours"] == pytest.approx(0.2)
    assert difference["sd"] == pytest.approx(2**0.5 / 10)
    assert itself["n"] == 3
    assert itself["ours"] == pytest.approx(0.6)
    assert absent["n"] == 0
    assert absent["ours"] is None


def test_a_user_may_ask_for_other_methods_and_seeds_and_keeps_the_papers_other_settings() -> None:
    paper = {"data": {"source": "digits"}, "methods": ["ce", "focal"], "seeds": 5, "training": {"epochs": 7}}
    asked = Experiment.model_validate({"title": "t", "source": "s", "study": paper, "quick": {"seeds": 2}})
    (mine,) = asked.studies("full", seeds=3, methods=None).values()
    assert (mine.seeds, [str(method) for method in mine.methods]) == (3, ["ce", "focal"])
    assert mine.training.epochs == 7
    (mine,) = asked.studies("quick", methods=["low(lam=1)"]).values()
    assert (mine.seeds, [str(method) for method in mine.methods]) == (2, ["low(lam=1)"])
