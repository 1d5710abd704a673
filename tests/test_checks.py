import pytest

from vidfold.checks import check_count, check_ratio
from vidfold.ops.shares import kept_tokens


def test_kept_tokens():
    assert kept_tokens(0.10, 32, 196) == 627
    assert kept_tokens(1.0, 32, 196) == 6272
    assert kept_tokens(0.5, 1, 1) == 1
    assert kept_tokens(1e-9, 32, 196) == 1


@pytest.mark.parametrize("value", [0, -0.1, 1.5, float("nan"), "abc", None, True])
def test_errors_quote_bad_ratios(value):
    with pytest.raises(ValueError, match=rf"retention must be .*\(0, 1\], got {value!r}"):
        check_ratio("retention", value)


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True])
def test_errors_quote_bad_counts(value):
    with pytest.raises(ValueError, match=f"clip must be a whole number of at least 1, got {value!r}"):
        check_count("clip", value)
