from collections.abc import Iterator

import pytest
from tests.fake_timm import install


@pytest.fixture(autouse=True, scope="module")
def _timm_is_there() -> Iterator[None]:
    """Tests over every model run over those of timm too, whether it is installed or not."""
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        yield
