"""What a server and a request may ask for, without vLLM."""

import json
from types import SimpleNamespace

import pytest
import torch

from vidfold import AOT, Identity
from vidfold.reducers import METHODS, get
from vidfold.serving import budgets, methods, served, startup

LLAVA = "LlavaOnevisionForConditionalGeneration"


def model(architecture=LLAVA, supported=(), **settings):
    """What `startup` looks at of vLLM's ``ModelConfig``."""
    return SimpleNamespace(
        architecture=architecture,
        multimodal_config=SimpleNamespace(mm_processor_kwargs=None, **settings),
        _model_info=SimpleNamespace(supported_video_pruning_methods=supported),
    )


def test_a_server_gets_its_method_with_the_rate_and_the_fields():
    assert methods.started("aot", 0.9, {}) == AOT(0.1)
    assert methods.started("aot", 0.9, {"rounds": 2}) == AOT(0.1, rounds=2)
    assert methods.started("aot", 0.5, {"tokens": 64}) == AOT(tokens=64)


def test_every_served_method_counts_its_tokens_beforehand():
    for name in methods.SERVED:
        assert methods.started(name, 0.75, {}).count(8, 36) == 72
    assert not {"aot-reference", "fastv", "pyramiddrop", "identity"} & set(methods.SERVED)


@pytest.mark.parametrize(
    ("name", "rate", "settings", "message"),
    [
        ("ato", 0.9, {}, "cannot serve the method 'ato'; did you mean 'aot'"),
        ("fastv", 0.9, {}, "cannot serve the method 'fastv'"),
        ("aot-reference", 0.9, {}, "cannot serve the method 'aot-reference'"),
        ("aot", 1.0, {}, "above 0 and below 1 to fold with 'aot', got 1.0"),
        ("aot", 0.9, {"retention": 0.2}, "must not: got retention=0.2"),
        ("aot", 0.9, {"round": 2}, "aot has no field 'round'"),
        ("aot", 0.9, {"rounds": -1}, "rounds must be"),
        ("holitom", 0.9, {"original": True}, "depends on the video's content.*beforehand"),
    ],
)
def test_what_a_server_cannot_run_is_refused(name, rate, settings, message):
    with pytest.raises(ValueError, match=message):
        methods.started(name, rate, settings)


@pytest.mark.parametrize("method", [AOT(0.1), AOT(0.37, rounds=2), AOT(tokens=9), get("evs", retention=0.25)], ids=repr)
def test_a_method_as_options_of_a_server(method):
    name, rate, *more = methods.options(method)[1::2]
    fields = json.loads(more[0])["vidfold"] if more else {}
    assert methods.started(name, float(rate), fields) == method


@pytest.mark.parametrize("method", [Identity(), AOT(1.0), AOT.reference()], ids=repr)
def test_a_method_that_cannot_be_served_has_no_options(method):
    with pytest.raises(ValueError, match=r"cannot serve|above 0 and below 1"):
        methods.options(method)


def test_a_need_that_a_model_does_not_give_is_refused_with_the_methods_it_serves():
    with pytest.raises(ValueError, match=r"holitom needs VideoTokens.deep, which M does not.*serves: aot, average"):
        methods.check_needs(get("holitom"), frozenset(), "M")
    methods.check_needs(get("holitom"), frozenset({"deep"}), "M")


def test_a_request_sets_its_own_budget():
    server = AOT(0.1, rounds=2)
    assert budgets.of_request(server, {}) is server
    assert budgets.of_request(server, {"retention": 0.05}) == AOT(0.05, rounds=2)
    assert budgets.of_request(server, {"tokens": 7}) == AOT(tokens=7, rounds=2)
    assert budgets.of_request(AOT(tokens=7), {"retention": 1.0}) == AOT(1.0)
    assert budgets.of_request(None, {}) is None


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"retention": 0}, r"retention must be in \(0, 1\], got 0"),
        ({"retention": "abc"}, "retention must be a number in .*got 'abc'"),
        ({"retention": None}, "got None"),
        ({"retention": True}, "got True"),
        ({"tokens": 0}, "tokens must be a whole number of at least 1, got 0"),
        ({"tokens": 1.5}, "got 1.5"),
        ({"retention": 0.5, "tokens": 3}, "retention or tokens, not both: got retention=0.5, tokens=3"),
    ],
)
def test_a_bad_budget_is_refused(budget, message):
    with pytest.raises(ValueError, match=message):
        budgets.of_request(AOT(0.1), budget)


def test_a_budget_that_nothing_reads_is_refused():
    with pytest.raises(ValueError, match=r"does not fold videos.*retention=0.1.*--video-pruning-method aot"):
        budgets.of_request(None, {"retention": 0.1})


def test_the_rest_of_the_settings_goes_to_the_processor():
    assert budgets.split({"retention": 0.1, "size": 3}) == ({"retention": 0.1}, {"size": 3})


@pytest.mark.parametrize("method", [AOT(0.05), AOT(1 / 3), AOT(tokens=12), get("evs", retention=0.3, original=True)])
def test_a_budget_arrives_as_it_was_sent(method):
    server = METHODS[method.name](0.5, **({"original": True} if getattr(method, "original", False) else {}))
    assert budgets.restored(server, budgets.carried(method)) == method
    assert budgets.carried(method).dtype == torch.float64


def test_the_method_is_kept_with_the_config():
    config = model()
    assert startup.method_of(config) is None
    startup.start("aot", 0.9, config, {"vidfold": {"rounds": 2}})
    assert startup.method_of(config) == AOT(0.1, rounds=2)


def test_servers_that_do_not_fold_start_as_before():
    for architecture, supported in ((LLAVA, ()), ("Other", ("evs",))):
        config = model(architecture, supported)
        startup.start("evs", None, config, {})
        assert startup.method_of(config) is None
    startup.start("evs", 0.9, model("Other", ("evs",)), {"another": 1})


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (("aot", None, model(), {}), "aot folds nothing without a rate"),
        (("aot", 0.9, model("Other"), {}), "Other is not served .*vidfold serves: .*LlavaOnevision"),
        (("evs", 0.9, model("Other"), {}), "Other prunes no video in vLLM, so --video-pruning-rate 0.9 would do noth"),
        (("evs", None, model(), {"vidfold": {"rounds": 2}}), "runs none.*got {'rounds': 2}"),
        (("aot", 0.9, model(), {"vidfold": [1]}), r"must be an object of fields, got \[1\]"),
        (("ato", 0.9, model(), {}), "cannot serve the method 'ato'"),
    ],
)
def test_what_would_be_a_silent_no_op_stops_the_server(start, message):
    with pytest.raises(ValueError, match=message):
        startup.start(*start)


def test_a_budget_among_the_settings_of_the_processor_is_refused():
    config = model()
    config.multimodal_config.mm_processor_kwargs = {"tokens": 64}
    with pytest.raises(ValueError, match="--mm-processor-kwargs must not have tokens=64"):
        startup.start("aot", 0.9, config, {})


def test_the_models_are_named_by_their_places():
    for model_ in served.MODELS.values():
        module, _, name = model_.place.partition(":")
        assert module.startswith("vidfold.serving.models.")
        assert name.startswith("Folded")
