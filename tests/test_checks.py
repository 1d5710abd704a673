from dataclasses import dataclass
from typing import Literal

import pytest

from vidfold.checks import Settings, check_choice, check_count, check_known, check_positive, check_ratio, setting
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


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "epsilon must be positive, got 0"),
        (-1.5, "epsilon must be positive, got -1.5"),
        (float("inf"), "epsilon must be a finite number above 0, got inf"),
        ("x", "epsilon must be a finite number above 0, got 'x'"),
        (True, "epsilon must be a finite number above 0, got True"),
    ],
)
def test_errors_quote_numbers_that_are_not_positive(value, message):
    with pytest.raises(ValueError, match=message):
        check_positive("epsilon", value)


def test_errors_name_all_choices():
    assert check_choice("program", "ov", Literal[False, "ov", "lv"]) == "ov"
    with pytest.raises(ValueError, match="program must be False, 'ov' or 'lv', got 'qwen'"):
        check_choice("program", "qwen", Literal[False, "ov", "lv"])


@dataclass(frozen=True)
class Few(Settings):
    share: float = setting(0.5, check_ratio, zero=True)
    clip: int | None = setting(4, check_count, optional=True, kw_only=True, least=2)
    free: str = "anything"


def test_fields_are_checked_where_they_are_set():
    assert Few() == Few(0.5, "anything", clip=4)
    assert (Few(0).share, Few(clip=None).clip) == (0, None)
    with pytest.raises(ValueError, match=r"share must be in .* got 2"):
        Few(share=2)
    with pytest.raises(ValueError, match=r"share must be a number .* got None"):
        Few(share=None)
    with pytest.raises(ValueError, match="clip must be a whole number of at least 2, got 1"):
        Few(clip=1)


def test_unknown_names_are_quoted_with_the_nearest():
    assert check_known("unknown method", "aot", ["aot", "tome"]) is None
    with pytest.raises(ValueError, match=r"^unknown method 'aott'; did you mean 'aot'\? there are: aot, tome$"):
        check_known("unknown method", "aott", ["aot", "tome"])
    with pytest.raises(ValueError, match=r"^no row 'x'; there are: aot$"):
        check_known("no row", "x", ["aot", "aot@0.10"], listed=["aot"])
