"""How many placeholders a video gets: what every family adds to vLLM's processor of its model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.processing import PromptUpdateDetails

from vidfold.reducers import BudgetedReducer
from vidfold.serving import budgets
from vidfold.serving.counting import told
from vidfold.serving.startup import method_of

BUDGET = "fold_budget"
"""Name of the budget among the inputs of a video, see `budgets.carried`."""


@dataclass
class Places(PromptUpdateDetails):  # type: ignore[misc]
    """What stands in the prompt for a folded video; vLLM keeps it with the video in its cache.

    Attributes:
        before: tokens of the video unfolded, newlines and text between frames not counted.
        after: those that are read.
    """

    before: int = 0
    after: int = 0


class Folding:
    """Stands before vLLM's processor class among the bases of a family's.

    A request's budget is part of vLLM's cache key, since all of its ``mm_processor_kwargs`` are.
    """

    info: Any

    def shape(self, stock: Any, item: Mapping[str, Any]) -> tuple[int, int]:
        """Frames F of a video, and cells N of each.

        Args:
            stock: what stands in the prompt for it in vLLM, unfolded or as vLLM prunes it.
            item: its inputs of the model.
        """
        raise NotImplementedError

    def places(self, stock: Any, kept: int) -> list[int]:
        """Token ids that stand in the prompt for a video of which ``kept`` tokens are read; see `shape`."""
        raise NotImplementedError

    def _method(self, settings: Mapping[str, Any]) -> tuple[BudgetedReducer | None, dict[str, Any]]:
        """The method with a request's budget, and the settings that vLLM's own processor gets."""
        budget, others = budgets.split(settings)
        return budgets.of_request(method_of(self.info.ctx.model_config), budget), others

    def get_dummy_inputs(self, *arguments: Any, **settings: Any) -> Any:
        """The inputs for which vLLM plans memory: unfolded, since requests may ask for any budget."""
        inputs = super().get_dummy_inputs(*arguments, **settings)  # type: ignore[misc]
        if method_of(self.info.ctx.model_config) is not None:
            inputs.hf_processor_mm_kwargs = {"retention": 1.0}
        return inputs

    def _apply_hf_processor_main(self, mm_items: Any, hf_kwargs: Mapping[str, Any]) -> Any:
        method, others = self._method(hf_kwargs)
        inputs = super()._apply_hf_processor_main(mm_items, others)  # type: ignore[misc]
        videos = mm_items.get_count("video", strict=False)
        if method is not None and videos:
            if "pixel_values_videos" not in inputs:
                raise ValueError("videos that come as embeddings cannot be folded: send frames or a file")
            inputs[BUDGET] = budgets.carried(method).repeat(videos, 1)
        return inputs

    def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Mapping[str, Any]) -> Any:
        _, others = self._method(hf_processor_mm_kwargs)
        fields = super()._get_mm_fields_config(hf_inputs, others)  # type: ignore[misc]
        return {**fields, BUDGET: MultiModalFieldConfig.batched("video", keep_on_cpu=True)}

    def _get_prompt_updates(self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, Any], out_mm_kwargs: Any) -> Any:
        method, others = self._method(hf_processor_mm_kwargs)
        updates: Sequence[Any] = super()._get_prompt_updates(mm_items, others, out_mm_kwargs)  # type: ignore[misc]
        if method is None:
            return updates

        def folded(stock: Any, index: int) -> Places:
            given = stock(index)
            frames, cells = self.shape(given, out_mm_kwargs["video"][index].get_data())
            kept = method.count(frames, cells)
            return Places(self.places(given, kept), before=frames * cells, after=kept)

        return [
            replace(update, replacement=partial(folded, update.replacement)) if update.modality == "video" else update
            for update in updates
        ]

    def _maybe_apply_prompt_updates(self, mm_items: Any, mm_res: Any) -> Any:
        for updates in mm_res.prompt_updates.get("video", ()):
            for update in updates:
                if isinstance(update.content, Places):
                    told(update.content.before, update.content.after)
        return super()._maybe_apply_prompt_updates(mm_items, mm_res)  # type: ignore[misc]
