"""Models that tests of folding share."""

import pytest

from tests.models import builders


@pytest.fixture(scope="module")
def small():
    """A 6x6 grid: 9 tokens a frame."""
    return builders.shared(6, 8)


@pytest.fixture(scope="module")
def siglip():
    """The 27x27 grid of SigLIP SO400M: 196 tokens a frame."""
    return builders.shared()
