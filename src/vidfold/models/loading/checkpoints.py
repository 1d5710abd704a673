"""Every checkpoint that is served is loaded here: by transformers, or as the authors of LLaVA publish it."""

import logging
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidfold import extras
from vidfold.models import llava_video
from vidfold.models.loading import published
from vidfold.models.loading.weights import check_none, files_of
from vidfold.models.registry import FAMILIES
from vidfold.tiny import EMBEDDED, path

_LOG = logging.getLogger(__name__)
HUB = ("revision", "token", "cache_dir", "local_files_only")
"""Settings that say where a checkpoint is found; they hold for its config and processor as well."""


def load(name: str, *, trust_remote_code: bool = False, **settings: Any) -> tuple[Any, Any]:
    """A model of a supported family and its processor.

    Checkpoints of transformers are served, and those of LLaVA-OneVision and LLaVA-Video in the form that their authors
    publish (see `vidfold.models.loading.published`). A LLaVA-Video that was loaded here and saved is loaded again.

    Weights are read from safetensors only: other formats can run code when they are read.

    Args:
        name: a folder, or an identifier on the Hugging Face hub such as "lmms-lab/LLaVA-Video-7B-Qwen2"; "tiny" is the
            embedded model, and "tiny-whole" its twin that was trained further on whole videos alone.
        trust_remote_code: whether Python code that comes with the checkpoint may run. Nobody is asked: by default a
            checkpoint that needs such code is refused.
        settings: of ``from_pretrained``, such as ``dtype``, ``device_map``, ``attn_implementation``, ``revision``; by
            default the checkpoint's own dtype (float32 for the embedded models) on the CPU.

    Returns:
        The model in evaluation mode, and its processor.

    Raises:
        ValueError: a checkpoint that cannot be loaded, whatever the reason; the message names both in one line.
        MissingExtra: transformers is not installed.
    """
    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        raise ValueError(f"model {name!r} is not a folder; give a folder or an identifier on the hub")
    extras.load("transformers", "models")
    location, dtype = (str(path(EMBEDDED[name])), "float32") if name in EMBEDDED else (name, "auto")
    try:
        model, processor = _loaded(location, {"dtype": dtype} | settings, trust_remote_code)
    except Exception as error:  # a damaged checkpoint can raise anything
        raise ValueError(f"model {name!r} cannot be loaded: {_reason(error)}") from error
    _LOG.info("loaded %s: %s, %s on %s", name, type(model).__name__, model.dtype, model.device)
    return model, processor


def _loaded(name: str, settings: Mapping[str, Any], trust: bool) -> tuple[Any, Any]:
    from transformers import PreTrainedConfig

    hub = {key: settings[key] for key in HUB if key in settings}
    # The small file first: it tells whether the large ones are of use.
    content, _ = PreTrainedConfig.get_config_dict(name, **hub)
    if not isinstance(content, dict):
        raise ValueError(f"its config.json holds a {type(content).__name__}, not an object with fields")
    if published.is_published(content):
        folder = Path(name) if Path(name).is_dir() else published.fetched(name, hub)
        model, processor = published.load(folder, content, settings, trust)
    else:
        model, processor = _stock(name, hub, settings, trust)
    for config in (model.config, model.generation_config):
        _check_ids(config.to_dict())
    if hasattr(model.config, llava_video.RECORD):
        llava_video.dress(model, processor)
    return model.eval(), processor


def _stock(name: str, hub: Mapping[str, Any], settings: Mapping[str, Any], trust: bool) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, ProcessorMixin

    config = AutoConfig.from_pretrained(name, trust_remote_code=trust, **hub)
    if config.model_type not in FAMILIES:
        raise ValueError(f"it is of the family {config.model_type!r}; supported are: {', '.join(sorted(FAMILIES))}")
    if Path(name).is_dir():
        files_of(Path(name))
    processor = AutoProcessor.from_pretrained(name, trust_remote_code=trust, **hub)
    if not isinstance(processor, ProcessorMixin):
        raise ValueError(f"its processor is a {type(processor).__name__}, which takes no videos")
    model, report = AutoModelForImageTextToText.from_pretrained(
        name,
        trust_remote_code=trust,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are named here
        output_loading_info=True,
        **settings,
    )
    misshapen = [f"{key} {tuple(theirs)} instead of {tuple(ours)}" for key, theirs, ours in report["mismatched_keys"]]
    check_none("holds misshapen weights", misshapen)
    check_none("lacks weights", report["missing_keys"])
    return model, processor


def _check_ids(config: Mapping[str, Any]) -> None:
    """Raise a ValueError for a token id that is none: transformers does not look at all of them."""
    for name, value in config.items():
        ids = value if isinstance(value, list) else [value]
        fits = all(isinstance(each, int) and abs(each) < 2**63 for each in ids)
        if name.endswith(("_token_id", "_token_index")) and value is not None and not fits:
            raise ValueError(f"its {name} is {value!r}, not a token id")


def _reason(error: Exception) -> str:
    """An error in one line."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    text = str(error)
    if isinstance(error, LocalEntryNotFoundError) or "couldn't connect" in text:
        return "it is not in the local cache, and the hub cannot be reached; give a folder, or connect and try again"
    if "trust_remote_code=True" in text:
        return (
            "it needs Python code that comes with it; to run that code, give trust_remote_code=True, or "
            "--trust-remote-code on the command line"
        )
    if not text or not isinstance(error, ValueError | OSError | ImportError):
        text = f"{type(error).__name__}: {text}"
    return textwrap.shorten(text, 400, placeholder=" [...]")
