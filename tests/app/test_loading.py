"""Loading models: settings that pass through, and one line for everything that cannot be loaded."""

import sys

import pytest
import torch

from vidfold import extras, models, tiny
from vidfold.app.loading import load
from vidfold.tiny import EMBEDDED


def test_embedded_model_is_the_default():
    assert load(device="cpu").name == "tiny"


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_embedded_models_load_in_float32(name):
    loaded = load(name, device="cpu")
    assert loaded.name == name
    assert loaded.model.name_or_path == str(tiny.path(EMBEDDED[name]))
    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training
    assert loaded.seconds > 0


def test_the_embedded_model_by_name_in_python():
    model, processor = models.load("tiny")
    assert model.name_or_path == str(tiny.path())
    assert model.dtype == torch.float32
    assert processor.tokenizer is not None


def test_settings_pass_through():
    loaded = load(device="cpu", dtype="bfloat16", attention="eager")
    assert loaded.model.dtype == torch.bfloat16
    assert loaded.model.config._attn_implementation == "eager"


def test_folder_loads_in_its_dtype():
    assert load(str(tiny.path()), device="cpu").model.dtype == torch.float16


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere' is not a folder"):
        load(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=rf"'{tmp_path}' cannot be loaded: "):
        load(str(tmp_path))


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
        with pytest.raises(ValueError, match="cannot be loaded"):
            load(device="cpu", **settings)
    else:
        pytest.skip(f"{package} is installed")


CHAT = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "what?"}]}]


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append.__globals__ }}",
        "{{ ''.__class__.__base__.__subclasses__()[0]('x') }}",
        "{{ cycler.__init__.__globals__.os.system('touch ran') }}",
        "{{ os.system('touch ran') }}",
        "{% import 'os' as os %}{{ os }}",
        "{% for each in range(10**12) %}x{% endfor %}",
        "{{ messages[0].clear() }}",
        "{% if",
        "{{ 1 / 0 }}",
        "{{ raise_exception('no videos') }}",
    ],
)
def test_a_chat_template_that_fails_or_reaches_out_is_one_line(template, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = load(device="cpu")
    with pytest.raises(ValueError, match="the chat template of model 'tiny' fails: "):
        loaded.written(CHAT, template)
    loaded.processor.chat_template = template
    with pytest.raises(ValueError, match="the chat template of model 'tiny' fails: "):
        loaded.written(CHAT)
    assert not list(tmp_path.iterdir())


def test_transformers_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(extras.MissingExtra, match=r"transformers is not installed: pip install .*'transformers<"):
        load()


def test_broken_package_is_not_reported_as_missing(monkeypatch, tmp_path):
    (tmp_path / "halfway.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all") as error:
        extras.load("halfway", "video")
    assert not isinstance(error.value, extras.MissingExtra)
