"""``--model_args`` of lmms-eval."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from vidfold import AOT
from vidfold.app.parsing import literal
from vidfold.evaluation.settings import Settings, split, written
from vidfold.reducers import METHODS


def test_fields_of_a_run_and_of_its_method():
    settings = Settings.of(
        pretrained="some/model", method="aot-paper", retention=0.2, frames=16, segments="dynamic", keep=0.5
    )
    assert settings.reducer == AOT.paper(retention=0.2, segments="dynamic", keep=0.5)
    assert (settings.pretrained, settings.frames, settings.retention) == ("some/model", 16, 0.2)
    assert settings.method["name"] == "aot-paper"
    assert settings.method["segments"] == "dynamic"


def test_values_are_parsed():
    settings = Settings.of(
        method="aot-reference", inter="false", clip="4", keep="0.3", force_sample="True", record="out"
    )
    assert (settings.reducer.inter, settings.reducer.clip, settings.reducer.keep) == (False, 4, 0.3)
    assert settings.force_sample is True
    assert settings.record == Path("out")
    assert literal("none") is None
    assert literal("float16") == "float16"


def test_unfolded():
    settings = Settings.of(method="none")
    assert settings.reducer is None
    assert settings.retention == 1.0
    assert settings.method == {"name": "none"}


def test_the_embedded_model_is_shown_eight_frames():
    assert Settings.of().frames == 8
    assert Settings.of(frames=5).frames == 5
    assert Settings.of(pretrained="other").frames == 32


def test_a_method_without_retention_is_listed_under_the_nominal_one():
    assert Settings.of(method="aot-reference", nominal=0.1).retention == 0.1
    assert Settings.of(method="aot-reference").retention is None


def test_hash_depends_on_settings_that_change_answers():
    hashes = [
        Settings.of(**arguments).hash
        for arguments in (
            {},
            {"retention": 0.2},
            {"method": "random"},
            {"method": "none"},
            {"frames": 4},
            {"force_sample": False},
            {"dtype": "float16"},
            {"template": "own"},
            {"pretrained": "other"},
        )
    ]
    assert len(set(hashes)) == len(hashes)
    same = [Settings.of(**each).hash for each in ({}, {"batch_size": 4}, {"record": "out"}, {"on_error": "skip"})]
    assert len(set(same)) == 1


def test_method_fields_do_not_clash_with_run_fields():
    own = {field.name for field in dataclasses.fields(Settings)} | {"method"}
    for method in METHODS.values():
        assert not own & {field.name for field in dataclasses.fields(method)}


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        ({"method": "aott"}, "unknown method 'aott'; did you mean 'aot'?"),
        ({"method": "aot", "retention": "ten"}, "retention must be a number in (0, 1], got 'ten'"),
        ({"method": "aot", "retention": "10%"}, "got '10%'"),
        ({"method": "aot", "max_frames_num": 4}, "aot has no field 'max_frames_num'"),
        ({"method": "none", "retention": 0.1}, "method=none folds nothing and has no field 'retention'"),
        ({"method": "aot-reference", "retention": 0.1}, "aot-reference has no field 'retention'"),
        ({"frames": 0}, "frames must be"),
        ({"batch_size": "auto"}, "batch_size must be"),
        ({"on_error": "stop"}, "on_error must be 'raise' or 'skip', got 'stop'"),
        ({"template": "vicuna"}, "template must be 'auto', 'own' or 'qwen_1_5', got 'vicuna'"),
        ({"force_sample": "perhaps"}, "force_sample must be True or False, got 'perhaps'"),
        ({"trust_remote_code": "yes"}, "trust_remote_code must be True or False, got 'yes'"),
        ({"quantization": "2bit"}, "quantization must be '4bit' or '8bit', got '2bit'"),
        ({"nominal": 10}, "nominal must be"),
    ],
)
def test_bad_arguments_are_quoted(arguments, quoted):
    with pytest.raises(ValueError) as error:
        Settings.of(**arguments)
    assert quoted in str(error.value)
    assert "\n" not in str(error.value)


TEXTS = st.one_of(
    st.text(max_size=8), st.sampled_from(["1.0", "1e5", "nan", "True", "none", "it's", "a,b=c", "[", "007"])
)
PLAIN = st.one_of(TEXTS, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none())
VALUES = st.one_of(PLAIN, st.lists(PLAIN, max_size=4).map(tuple), st.lists(st.tuples(PLAIN), max_size=3).map(tuple))
"""Values of settings as Python has them; a text stands for what `literal` reads from it."""


def fixed(value):
    return tuple(map(fixed, value)) if isinstance(value, list | tuple) else value


@examples(max_examples=40)
@given(st.dictionaries(st.sampled_from(["pretrained", "layers", "keep"]), VALUES, min_size=1))
def test_any_value_survives_model_args(arguments):
    read = split(written(arguments))
    assert {name: fixed(literal(value)) for name, value in read.items()} == {
        name: fixed(literal(value)) for name, value in arguments.items()
    }


@examples(max_examples=40)
@given(st.dictionaries(st.sampled_from(["pretrained", "layers", "keep"]), VALUES, min_size=1))
def test_lmms_eval_reads_any_value_too(arguments):
    utils = pytest.importorskip("lmms_eval.utils")
    read = utils.simple_parse_args_string(written(arguments))
    assert {name: fixed(literal(value)) for name, value in read.items()} == {
        name: fixed(literal(value)) for name, value in arguments.items()
    }


def test_sequences_are_written_in_brackets():
    arguments = {"method": "pyramiddrop", "layers": "(8,16,24)", "pretrained": "/models/one of mine"}
    text = written(arguments)
    assert text == r"method=pyramiddrop,layers=[8,16,24],pretrained='/models/one\U00000020of\U00000020mine'"
    settings = Settings.of(**split(text))
    assert settings == Settings.of(**arguments)
    assert (settings.reducer.layers, settings.pretrained) == ((8, 16, 24), "/models/one of mine")


@pytest.mark.parametrize("text", ["a=1, b=2", "a=1,,b=2,", " a = 1 ,b=2"])
def test_arguments_typed_by_hand(text):
    assert split(text) == {"a": "1", "b": "2"}
    assert split("a='x,y',b=[1,[2,3]]") == {"a": "'x,y'", "b": "[1,[2,3]]"}
