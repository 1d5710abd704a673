"""Every model family in turn; see `tests.models.matrix`."""

from typing import Any

import pytest

from tests.models.matrix import CASES, built


@pytest.fixture(params=sorted(CASES), scope="module")
def case(request) -> Any:
    """The builder of a family."""
    return CASES[request.param]


@pytest.fixture
def model(case) -> Any:
    return built(case)
