"""Read the weights of a linear layer from an ONNX graph, where they have lost the name they had in PyTorch."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class Graph:
    """An ONNX graph: its nodes, and its stored tensors by name."""

    def __init__(self, path: Path) -> None:
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(str(path)).graph
        self.nodes: list[Any] = list(graph.node)
        self.tensors: dict[str, Tensor] = {
            each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer
        }
        self._readers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self._readers[name].append(node)

    def bias_after(self, node: Any) -> str | None:
        """Name of the bias that is added to the product of a node; casts and scales may stand between."""
        value = node.output[0]
        while readers := self._readers[value]:
            for add in readers:
                if add.op_type == "Add" and (stored := [name for name in add.input if name in self.tensors]):
                    return str(stored[0])
            scaled = [each for each in readers if each.op_type in ("Cast", "Mul")]
            if not scaled:
                return None
            value = scaled[0].output[0]
        return None
