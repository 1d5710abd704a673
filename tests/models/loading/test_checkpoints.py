"""One way to load every checkpoint: what is served, one line for what cannot be loaded, and no code but our own."""

import copy
import io
import json
import pickle
import sys
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionProcessor,
    dynamic_module_utils,
)

from vidfold import extras, models, tiny
from vidfold.models.loading.weights import INDEX

CONFIG = json.loads((tiny.path() / "config.json").read_text())


def checkpoint(folder, *without, **contents):
    """The embedded model's files in a folder, ``without`` some and with these ``contents`` of JSON files."""
    left = {*without, *(f"{name}.json" for name in contents)}
    for file in tiny.path().iterdir():
        if file.name not in left:
            (folder / file.name).symlink_to(file)
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return str(folder)


def changed(**fields):
    """The embedded model's config with other values; ``text__hidden_size`` is a field of its ``text_config``."""
    config = copy.deepcopy(CONFIG)
    for name, value in fields.items():
        *part, field = name.split("__")
        (config[f"{part[0]}_config"] if part else config)[field] = value
    return config


def test_a_folder_in_its_own_dtype_or_another():
    model, processor = models.load(str(tiny.path()))
    assert isinstance(model, LlavaOnevisionForConditionalGeneration)
    assert isinstance(processor, LlavaOnevisionProcessor)
    assert (model.dtype, model.device.type, model.training) == (torch.float16, "cpu", False)
    model, _ = models.load(str(tiny.path()), dtype="float32", attn_implementation="eager")
    assert model.dtype == torch.float32
    assert model.config._attn_implementation == "eager"


def test_a_folder_that_is_not_there(tmp_path):
    for name in ("./nowhere", str(tmp_path / "nowhere"), "~/nowhere"):
        with pytest.raises(ValueError, match=r"nowhere' is not a folder; give a folder or an identifier on the hub"):
            models.load(name)


def test_the_hub_without_connection(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("nobody/nothing", "lmms-lab/LLaVA-Video-7B-Qwen2"):
        with pytest.raises(ValueError, match=rf"'{name}' cannot be loaded: it is not in the local cache"):
            models.load(name)
    with pytest.raises(ValueError, match="'no such: name' cannot be loaded"):
        models.load("no such: name")


def test_config_and_processor_are_of_the_same_revision(monkeypatch):
    given = {}

    def note(kind):
        former = kind.from_pretrained

        def from_pretrained(name, **settings):
            given[kind.__name__] = settings.get("revision")
            return former(name, **settings)

        monkeypatch.setattr(kind, "from_pretrained", from_pretrained)

    for kind in (AutoConfig, AutoProcessor, AutoModelForImageTextToText):
        note(kind)
    models.load(str(tiny.path()), revision="second")
    assert given == dict.fromkeys(("AutoConfig", "AutoProcessor", "AutoModelForImageTextToText"), "second")


def test_transformers_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(extras.MissingExtra, match=r"transformers is not installed: pip install .*'transformers<"):
        models.load("nobody/nothing")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{", "not a valid JSON file"),
        ("", "not a valid JSON file"),
        ("[" * 100_000, "RecursionError"),
        ("[]", "holds a list"),
        ("null", "TypeError"),
        ({}, "Unrecognized model"),
        ({"model_type": "bert"}, "of the family 'bert'; supported are: .*llava_onevision"),
        (changed(model_type=7), "model type `7`"),
        (changed(model_type=["llava_onevision"]), "unhashable"),
        (changed(text_config="qwen2"), "text_config"),
        (changed(text__hidden_size="large"), "hidden_size"),
        (changed(text__hidden_size=64), r"holds misshapen weights: .* and \d+ more"),
        (changed(text__num_attention_heads=0), "division"),
        (changed(text__pad_token_id=10**30), "Padding_idx"),
        (changed(pad_token_id=10**30), f"its pad_token_id is {10**30}, not a token id"),
        (changed(image_token_index="<image>"), "image_token_index"),
        (changed(video_token_index=10**20), "its video_token_index is 1000"),
        (changed(text__hidden_act=3), "hidden_act"),
        (changed(vision__num_attention_heads=0), "division"),
        (changed(architectures=5), "int"),
        (changed(dtype="float99"), "float99"),
        (changed(auto_map=5), "int"),
        (changed(vidfold=5), "int"),
        ({"model_type": "llava_qwen"}, r"lacks 1 of its 1 files of weights|mm_patch_merge_type"),
    ],
    ids=lambda each: "" if isinstance(each, str) and len(each) > 30 else None,
)
def test_a_damaged_config_is_one_line(tmp_path, config, reason):
    name = checkpoint(tmp_path, config=config)
    with pytest.raises(ValueError, match=reason) as error:
        models.load(name)
    assert str(error.value).startswith(f"model {name!r} cannot be loaded: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("generation_config", {"pad_token_id": 10**20}, "pad_token_id is 1000"),
        ("generation_config", {"eos_token_id": "end"}, "eos_token_id is 'end'"),
        ("processor_config", "{", "JSON"),
        ("processor_config", {"processor_class": "Nothing"}, "which takes no videos"),
        ("tokenizer", "{", "model .* cannot be loaded"),
        ("tokenizer_config", "[]", "AttributeError"),
    ],
)
def test_other_damaged_files_are_one_line(tmp_path, file, content, reason):
    with pytest.raises(ValueError, match=reason) as error:
        models.load(checkpoint(tmp_path, **{file: content}))
    assert "\n" not in str(error.value)


def test_weights_that_are_cut_short_or_missing(tmp_path):
    name = checkpoint(tmp_path, "model.safetensors")
    with pytest.raises(ValueError, match=r"it lacks 1 of its 1 files of weights, model\.safetensors"):
        models.load(name)
    (tmp_path / "model.safetensors").write_bytes((tiny.path() / "model.safetensors").read_bytes()[:100_000])
    with pytest.raises(ValueError, match="SafetensorError"):
        models.load(name)


def test_weights_that_lack_some(tmp_path):
    layers = {"num_hidden_layers": 5, "layer_types": ["full_attention"] * 5}
    name = checkpoint(tmp_path, config=changed(**{f"text__{key}": value for key, value in layers.items()}))
    with pytest.raises(ValueError, match=r"it lacks weights: model\.language_model\.layers\.4\..* and \d+ more"):
        models.load(name)


@pytest.mark.parametrize("file", ["../weights.safetensors", "/tmp/weights.safetensors", "a/../../weights.safetensors"])
def test_an_index_that_points_out_of_the_folder(tmp_path, file):
    (tmp_path / "in").mkdir()
    (tmp_path / "weights.safetensors").symlink_to(tiny.path() / "model.safetensors")
    for config in (CONFIG, {"model_type": "llava_qwen"}):
        name = checkpoint(tmp_path / "in", "model.safetensors", config=config)
        (tmp_path / "in" / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"lm_head.weight": file}}))
        with pytest.raises(ValueError, match=f"names '{file}', a file outside of the folder"):
            models.load(name)
        for each in (tmp_path / "in").iterdir():
            each.unlink()


class Run:
    """Pickled, what writes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "it ran")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.bin", "adapter_model.bin"])
def test_pickled_weights_are_refused(tmp_path, file):
    marker = tmp_path / "ran"
    name = checkpoint(tmp_path, "model.safetensors")
    torch.save({"lm_head.weight": Run(marker)}, tmp_path / file)
    with pytest.raises(ValueError, match="it lacks 1 of its 1 files of weights"):
        models.load(name)
    assert not marker.exists()
    (tmp_path / "model.safetensors").write_bytes(pickle.dumps(Run(marker)))
    with pytest.raises(ValueError, match="SafetensorError"):
        models.load(name)
    assert not marker.exists()


def with_code(folder, file, *classes):
    """A checkpoint whose ``file`` names classes of its own; their module says so in a file when it runs."""
    marker = folder / "ran"
    code = f"from pathlib import Path\nPath({str(marker)!r}).write_text('it ran')\n"
    code += """
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

class AutoConfig(LlavaOnevisionConfig):
    pass

class AutoModelForImageTextToText(LlavaOnevisionForConditionalGeneration):
    config_class = AutoConfig
"""
    (folder / "code.py").write_text(code)
    content = json.loads((tiny.path() / f"{file}.json").read_text())
    content["auto_map"] = {each: f"code.{each}" for each in classes}
    return marker, content


@pytest.fixture
def yes_on_standard_input(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))


@pytest.mark.usefixtures("yes_on_standard_input")
@pytest.mark.parametrize(
    ("file", "classes"),
    [
        ("config", ["AutoConfig"]),
        ("config", ["AutoConfig", "AutoModelForImageTextToText", "AutoProcessor", "AutoTokenizer"]),
        ("processor_config", ["AutoProcessor", "AutoImageProcessor", "AutoVideoProcessor"]),
        ("tokenizer_config", ["AutoTokenizer", "AutoProcessor"]),
    ],
)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_code_of_a_checkpoint_does_not_run(tmp_path, file, classes, known):
    marker, content = with_code(tmp_path, file, *classes)
    if not known:
        content["model_type" if file == "config" else "processor_class"] = "Unknown"
    name = checkpoint(tmp_path, **{file: content})
    try:
        models.load(name)
    except ValueError as error:
        assert not known
        assert str(error).startswith(f"model {name!r} cannot be loaded: ")  # noqa: PT017
    assert not marker.exists()


@pytest.mark.usefixtures("yes_on_standard_input")
def test_code_that_is_needed_is_named_with_the_way_to_allow_it(tmp_path):
    marker, content = with_code(tmp_path, "config", "AutoConfig")
    name = checkpoint(tmp_path, config=content | {"model_type": "unknown"})
    with pytest.raises(ValueError, match=r"needs Python code .* trust_remote_code=True, or --trust-remote-code"):
        models.load(name)
    assert not marker.exists()


@pytest.mark.usefixtures("yes_on_standard_input")
def test_code_that_is_trusted_runs(tmp_path):
    marker, content = with_code(tmp_path, "config", "AutoConfig", "AutoModelForImageTextToText")
    model, _ = models.load(checkpoint(tmp_path, config=content), trust_remote_code=True)
    assert marker.exists()
    assert type(model).__name__ == "AutoModelForImageTextToText"


@pytest.mark.usefixtures("yes_on_standard_input")
def test_a_generation_loop_of_a_checkpoint_does_not_run(tmp_path):
    name, marker = checkpoint(tmp_path), tmp_path / "ran"
    (tmp_path / "custom_generate").mkdir()
    (tmp_path / "custom_generate" / "generate.py").write_text(f"open({str(marker)!r}, 'w')\ndef generate(*a, **k): 1\n")
    model, _ = models.load(name)
    model.generate(torch.tensor([[1]]), max_new_tokens=1, do_sample=False)
    assert not marker.exists()
