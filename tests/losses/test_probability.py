import pytest

from steelyard import InputError, testing
from steelyard.losses import GeneralisedCrossEntropy, Loss, SquaredError


@pytest.mark.parametrize(
    "loss",
    [SquaredError("sparsemax"), GeneralisedCrossEntropy(q=0, least=0.2), GeneralisedCrossEntropy(q=1)],
    ids=["sparsemax", "truncated", "mean absolute"],
)
def test_every_form_keeps_the_contract(loss: Loss) -> None:
    testing.check_loss(loss)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="q must lie between 0 and 1, got 2"):
        GeneralisedCrossEntropy(q=2)
    with pytest.raises(InputError, match=r"least must lie in \[0, 1\), got 1; 0 truncates nothing"):
        GeneralisedCrossEntropy(least=1)
    with pytest.raises(InputError, match="unknown normaliser"):
        SquaredError("hardmax")  # type: ignore[arg-type]
