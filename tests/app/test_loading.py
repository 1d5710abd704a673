"""Loading models: settings that pass through, and one line for everything that cannot be loaded."""

import json
import sys

import pytest
import torch

from vidfold import extras, tiny
from vidfold.app.loading import EMBEDDED, load


def test_the_embedded_model_is_what_loads_unasked():
    assert load(device="cpu").name == "tiny"


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_embedded_models_load_in_float32(name):
    loaded = load(name, device="cpu")
    assert loaded.name == name
    assert loaded.model.name_or_path == str(tiny.path(EMBEDDED[name]))
    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training
    assert loaded.seconds > 0


def test_settings_pass_through():
    loaded = load(device="cpu", dtype="bfloat16", attention="eager")
    assert loaded.model.dtype == torch.bfloat16
    assert loaded.model.config._attn_implementation == "eager"


def test_a_folder_is_loaded_in_its_own_dtype():
    assert load(str(tiny.path()), device="cpu").model.dtype == torch.float16


def test_missing_folder(tmp_path):
    for name in ("./nowhere", str(tmp_path / "nowhere")):
        with pytest.raises(ValueError, match=r"nowhere' is not a folder; give 'tiny', 'tiny-whole', a folder"):
            load(name)


def test_folder_without_a_model(tmp_path):
    with pytest.raises(ValueError, match="Unrecognized model"):
        load(str(tmp_path))


def test_model_of_another_family(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match=r"of the family 'bert'; supported are: .*llava_onevision"):
        load(str(tmp_path))


def test_hub_model_without_connection(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"'nobody/nothing' cannot be loaded: it is not in the local cache"):
        load("nobody/nothing")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device_that_is_not_there():
    with pytest.raises(ValueError, match="device 'cuda:1' is not there"):
        load(device="cuda:1")


@pytest.mark.parametrize("settings", [{"attention": "flash_attention_2"}, {"quantization": "4bit"}])
def test_settings_whose_packages_are_missing(settings):
    package = "flash_attn" if "attention" in settings else "bitsandbytes"
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(ValueError, match="model 'tiny' cannot be loaded"):
            load(device="cpu", **settings)
    else:
        pytest.skip(f"{package} is installed")


def test_transformers_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(extras.MissingExtra, match=r"transformers is not installed: pip install 'vidfold\[models\]'"):
        load()


def test_a_broken_package_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "halfway.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all") as error:
        extras.load("halfway", "video")
    assert not isinstance(error.value, extras.MissingExtra)
