"""A vision tower that computes some of its tokens only, by its own modules."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidfold.models.attention.observing import Attended
from vidfold.models.attention.replacing import Stock, replaced
from vidfold.models.partial.packing import Packing, flat_source
from vidfold.models.partial.tower import Tower
from vidfold.tower.plan import Plan

LENGTHS = ("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")
"""What a tower tells attention of the lengths of its sequences, which are others here."""


class Partial:
    """One run of a tower that computes what plans say, one plan a video.

    Its first layer gets the computed tokens packed, and every layer works on those. Attention gives each frame, or
    window, its own tokens and those that stand in for the others. Behind the tower's ends the table is whole again.
    Checked frames are rows behind the table: they are computed whole, and nothing else sees them.

    Attributes:
        drifts: 1 - mean cosine of the checked frames' features, of every end so far: tensors without dimensions.
    """

    def __init__(self, tower: Tower, plans: Sequence[Plan], device: torch.device) -> None:
        tower.check()
        sources, lengths, windows, seen = list[Tensor](), list[Tensor](), list[Tensor](), list[Tensor]()
        self._frames, rows = list[tuple[int, int]](), 0
        for number, plan in enumerate(plans):
            source = plan.source if tower.orders is None else plan.source[:, tower.orders[number]]
            flat = flat_source(source, tower.prefix, tower.unit)
            count, size = len(source), len(flat) // len(source)
            self._frames.append((count, size))
            sources.append(flat + rows)
            lengths.append(torch.full((count,), size))
            windows.append(tower.windows_of(number, size).repeat(count))
            seen.append((plan.checked[:, None] * size + torch.arange(size)).flatten() + rows)
            rows += len(flat)
        for number, plan in enumerate(plans):
            lengths.append(torch.full((len(plan.checked),), self._frames[number][1]))
            windows.append(tower.windows_of(number, self._frames[number][1]).repeat(len(plan.checked)))
        checked = torch.cat(seen)
        source = torch.cat([*sources, rows + torch.arange(len(checked))])
        whole = Packing.of(source, torch.cat(lengths))
        in_windows = whole if tower.windows is None else Packing.of(source, torch.cat(windows))
        self._tower, self._rows, self._checked = tower, rows, checked.to(device)
        # The row of the full table that each packed token enters with.
        self._entering = torch.cat([torch.arange(rows), checked])[whole.tokens].to(device)
        self._whole, self._in_windows = whole.to(device), in_windows.to(device)
        behind = zip(tower.layers, tower.layers[1:], strict=False)
        self._opening = {tower.layers[0], *(layer for before, layer in behind if before in tower.ends)}
        self._shape: tuple[int, ...] = ()
        self._thread = threading.get_ident()
        self.drifts = list[Tensor]()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within the block, in this thread, the tower computes its part alone; hooks are removed at the end."""
        attentions = [
            (module, _attention(self._in_windows if number in self._tower.windowed else self._whole))
            for number, module in enumerate(self._tower.attentions)
        ]
        with ExitStack() as stack:
            stack.enter_context(replaced(attentions))
            for layer in self._tower.layers:
                stack.callback(layer.register_forward_pre_hook(self._enter, with_kwargs=True).remove)
            for end in self._tower.ends:
                # In front of hooks that read the output.
                stack.callback(end.register_forward_hook(self._leave, prepend=True).remove)
            yield

    def _enter(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a layer is called with, for the computed tokens alone."""
        if threading.get_ident() != self._thread:
            return None
        kwargs = dict(kwargs)
        states: Tensor = args[0] if args else kwargs.pop("hidden_states")
        index, length = self._entering.to(states.device), len(self._entering)
        if layer in self._opening:
            self._shape = states.shape[:-1]
            packed = states.flatten(0, -2).index_select(0, index)
            states = packed.view(*(1,) * (len(self._shape) - 1), *packed.shape)
        if kwargs.get("cu_seqlens") is not None:
            kwargs["cu_seqlens"] = kwargs["cu_seqlens"].new_tensor([0, length])
            kwargs["max_seqlen"] = None if kwargs.get("max_seqlen") is None else length
        if kwargs.get("position_embeddings") is not None:
            kwargs["position_embeddings"] = tuple(
                each.index_select(-2, index.to(each.device)) for each in kwargs["position_embeddings"]
            )
        return (states, *args[1:]), kwargs

    def _leave(self, _: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        """The output of an end for all tokens, or for all units where it makes one of each."""
        if threading.get_ident() != self._thread:
            return None
        states: Tensor = output[0] if isinstance(output, tuple) else output
        flat = states.flatten(0, -2)
        together = len(self._whole.tokens) // len(flat)
        copies = self._whole.copies.to(flat.device)[::together] // together
        whole = flat.index_select(0, copies[: self._rows // together])
        if len(self._checked):
            looked = self._checked.to(flat.device)[::together] // together
            with torch.no_grad():
                exact = flat.index_select(0, copies[self._rows // together :])
                near = functional.cosine_similarity(whole.index_select(0, looked).float(), exact.float(), dim=-1)
                self.drifts.append(1 - near.mean())
        if together == 1:
            whole = whole.view(*self._shape, -1)
        return (whole, *output[1:]) if isinstance(output, tuple) else whole

    def assembled(self, attended: Attended) -> list[Attended]:
        """What attention is given for the computed tokens, as that of all frames, of one video each.

        A token that is not computed asks, and is seen, as the one does whose state it has.
        """
        copies = self._whole.copies[: self._rows].to(attended.query.device)
        sizes = [count * size for count, size in self._frames]
        query, key = (
            torch.split(each.transpose(1, 2)[0].index_select(0, copies), sizes)
            for each in (attended.query, attended.key)
        )
        return [
            Attended(_of_frames(asking, shape), _of_frames(seen, shape), attended.scale)
            for asking, seen, shape in zip(query, key, self._frames, strict=True)
        ]


def _of_frames(rows: Tensor, shape: tuple[int, int]) -> Tensor:
    """Rows (F * S, H, E) as (F, H, S, E)."""
    return rows.view(*shape, *rows.shape[1:]).transpose(1, 2)


def _attention(packing: Packing) -> Callable[..., Any]:
    def instead(stock: Stock, query: Tensor, key: Tensor, value: Tensor, mask: Any, **settings: Any) -> Any:
        if beyond := stock.beyond({"attention_mask": mask} | settings):
            raise ValueError(
                f"{type(stock.module).__name__} attends with {' and '.join(beyond)}, which a tower method does not "
                "support: use tower=None"
            )
        settings = {name: value for name, value in settings.items() if name not in LENGTHS}

        def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            output: Tensor = stock(queries, keys, values, None, **settings)[0]
            return output

        rows = (each.transpose(1, 2)[0] for each in (query, key, value))
        return packing.to(query.device).attend(attend, *rows)[None], None

    return instead
