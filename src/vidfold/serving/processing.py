"""How many placeholders a video gets: what every family adds to vLLM's processor of its model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vidfold.reducers import BudgetedReducer
from vidfold.serving import budgets
from vidfold.serving.startup import method_of

BUDGET = "fold_budget"
"""Name of the budget among the inputs of a video, see `budgets.carried`."""


class Folding:
    """Stands before vLLM's processor class among the bases of a family's.

    A request's budget is part of vLLM's cache key, since all of its ``mm_processor_kwargs`` are.
    """

    info: Any

    def places(self, stock: Any, method: BudgetedReducer, item: Mapping[str, Any]) -> Any:
        """What stands in the prompt for a video.

        Args:
            stock: what stands there in vLLM, unfolded or as vLLM prunes it.
            method: with the budget of the request.
            item: the video's inputs of the model.
        """
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
        from vllm.multimodal.inputs import MultiModalFieldConfig

        _, others = self._method(hf_processor_mm_kwargs)
        fields = super()._get_mm_fields_config(hf_inputs, others)  # type: ignore[misc]
        return {**fields, BUDGET: MultiModalFieldConfig.batched("video", keep_on_cpu=True)}

    def _get_prompt_updates(self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, Any], out_mm_kwargs: Any) -> Any:
        method, others = self._method(hf_processor_mm_kwargs)
        updates: Sequence[Any] = super()._get_prompt_updates(mm_items, others, out_mm_kwargs)  # type: ignore[misc]
        if method is None:
            return updates

        def folded(stock: Any, index: int) -> Any:
            return self.places(stock(index), method, out_mm_kwargs["video"][index].get_data())

        return [
            replace(update, replacement=partial(folded, update.replacement)) if update.modality == "video" else update
            for update in updates
        ]
