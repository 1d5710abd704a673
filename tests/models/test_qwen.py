"""What only the Qwen line does; the rest is in `test_families`."""

import dataclasses
import importlib

import pytest
import torch
from transformers import Qwen2VLVideoProcessor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.vision_utils import get_vision_window_index

from tests.models import builders
from tests.models.builders import VIDEO
from tests.models.qwen_vl_model import END, MERGE, NEVER, START
from vidfold import AOT, Identity, Random, Reduction, fold, models
from vidfold.models import Qwen2_5VL, Qwen2VL
from vidfold.models.qwen2_5_vl import window_places
from vidfold.reducers import FastV

NAMES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
CASES = {name: importlib.import_module(f"tests.models.{name}_model") for name in NAMES}
ALL = frozenset({"shallow", "deep", "keys"})
GREEDY = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "suppress_tokens": [*NEVER, START, END]}


@pytest.fixture(params=NAMES)
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def built():
    return {name: case.build() for name, case in CASES.items()}


@pytest.fixture
def model(case, built):
    return built[case.__name__.rpartition(".")[2].removesuffix("_model")]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Keeps tokens of the given flat indices in the given order; what stands beside them comes along."""

    index: tuple[int, ...]

    def __call__(self, tokens):
        index = torch.tensor(self.index)
        side = None if tokens.side is None else tokens.side.flatten(1, 2)[:, index]
        return Reduction(
            tokens=tokens.features.flatten(0, 1)[index],
            frames=index // tokens.cells,
            cells=index % tokens.cells,
            grid=tokens.grid,
            full=tokens.frames * tokens.cells,
            side=side,
        )


def spliced(model, inputs, reducer):
    with fold(model, reducer) as folded:
        return folded.fold(folded.family.prepared(inputs)).inputs


def words(logits):
    return logits[:, -1].index_fill(-1, torch.tensor(GREEDY["suppress_tokens"]), -torch.inf).argmax(-1, keepdim=True)


def stepwise(model, inputs):
    """A greedy answer by hand, one row."""
    output = model(**inputs)
    tokens = [words(output.logits)]
    for _ in range(GREEDY["max_new_tokens"] - 1):
        output = model(input_ids=tokens[-1], past_key_values=output.past_key_values)
        tokens.append(words(output.logits))
    return torch.cat(tokens, 1)


def test_every_video_has_its_own_grid(case, model):
    inputs = case.inputs(model, prompts=(3, 5), frames=((3, 1), (2,)))
    videos = models.encode(model, inputs, ALL)
    assert [(video.frames, video.grid) for video in videos] == [(3, (6, 4)), (1, (4, 6)), (2, (6, 4))]
    with torch.no_grad():
        stock = model.model.get_video_features(inputs["pixel_values_videos"], inputs["video_grid_thw"])
    for number, video in enumerate(videos):
        assert torch.equal(video.features.flatten(0, 1), stock.pooler_output[number])
        assert video.keys.shape[:2] == video.deep.shape == video.features.shape[:2]
        assert video.frame_features is None
        for level, expected in enumerate(getattr(stock, "deepstack_features", None) or []):
            assert torch.equal(video.side[level].flatten(0, 1), expected[number])


def test_attention_received_sums_to_the_patches_of_a_frame(case, model):
    """A cell has the mean of its four patches, so a frame's cells sum to its queries over four."""
    (video,) = models.encode(model, case.inputs(model, frames=((3,),)), ALL)
    torch.testing.assert_close(video.deep.sum(1), torch.full((3,), float(video.cells)))


def test_keys_are_those_of_the_last_layer(case, model, monkeypatch):
    inputs = case.inputs(model, frames=((2, 2),))
    attention = model.model.visual.blocks[-1].attn
    seen = []

    def attend(module, query, key, *args, **settings):
        if module.qkv is attention.qkv:
            seen.append(key)
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, *args, **settings)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "noted", attend)
    monkeypatch.setattr(model.model.visual.config, "_attn_implementation", "noted")
    videos = models.encode(model, inputs, frozenset({"keys"}))
    patches = torch.cat([each.mean(1)[0] for each in seen])
    cells = patches.unflatten(0, (-1, MERGE**2)).mean(1)
    if hasattr(model.model.visual, "window_size"):
        cells = cells[get_vision_window_index(inputs["video_grid_thw"], MERGE, 16, 4)[0].argsort()]
    assert torch.equal(torch.cat([video.keys.flatten(0, 1) for video in videos]), cells)


def test_packed_attention_gives_the_same(case, model, monkeypatch):
    """Flash functions are handed all frames in one call."""
    inputs = case.inputs(model, prompts=(3, 5), frames=((3, 1), (2,)))
    expected = models.encode(model, inputs, ALL)
    calls = []

    def attend(module, query, key, value, attention_mask, *, cu_seq_lens_q, scaling, **_):
        calls.append(module)
        lengths = cu_seq_lens_q.diff().tolist()
        parts = zip(*(each.split(lengths, 2) for each in (query, key, value)), strict=True)
        sdpa = ALL_ATTENTION_FUNCTIONS["sdpa"]
        return torch.cat([sdpa(module, *part, None, scaling=scaling, is_causal=False)[0] for part in parts], 1), None

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "flash_attention_2", attend)
    monkeypatch.setattr(model.model.visual.config, "_attn_implementation", "flash_attention_2")
    videos = models.encode(model, inputs, ALL)
    assert len(calls) == len(model.model.visual.blocks)
    for video, other in zip(videos, expected, strict=True):
        for name in ("features", "shallow", "deep", "keys"):
            torch.testing.assert_close(getattr(video, name), getattr(other, name), rtol=1e-5, atol=1e-5)


def test_positions_of_a_shortened_prompt(case, model):
    inputs = case.inputs(model, prompts=(3, 8), frames=((3,), (2, 1)), images=(1, 0))
    short = spliced(model, inputs, Random(retention=0.2))
    mask, positions = short["attention_mask"], short["position_ids"]
    assert positions.shape == (4, *mask.shape)
    assert torch.equal(positions[0], (mask.cumsum(-1) - 1).clamp(min=0))
    full, deltas = model.model.get_rope_index(
        **{name: value for name, value in inputs.items() if not name.startswith("pixel")}
    )
    # Text behind the last video is where it was; so is what will follow it.
    assert torch.equal(positions[1:, :, -3:], full[:, :, -3:])
    lengths = inputs["attention_mask"].sum(-1, keepdim=True), mask.sum(-1, keepdim=True)
    assert torch.equal(model.model.rope_deltas, deltas + lengths[0] - lengths[1])
    assert torch.equal(model.model.rope_deltas + lengths[1], full.amax((0, 2))[:, None] + 1)
    types = short["mm_token_type_ids"]
    assert torch.equal(types == 2, short["input_ids"] == VIDEO)
    assert not {name for name in short if name.startswith(("pixel", "video_grid", "image_grid", "second"))}


@pytest.mark.parametrize("reducer", [Identity(), AOT.paper(retention=0.2)], ids=repr)
def test_decoding_by_hand_equals_generate(case, model, reducer):
    inputs = case.inputs(model, prompts=(6,), frames=((3,),))
    with torch.no_grad(), fold(model, reducer):
        generated = model.generate(**inputs, **GREEDY)[:, -5:]
        assert torch.equal(stepwise(model, inputs), generated)


def test_decoding_a_padded_batch_by_hand(case, model):
    inputs = case.inputs(model, prompts=(6, 9), frames=((3,), (2,)))
    with torch.no_grad(), fold(model, Random(retention=0.3)) as folded:
        generated = model.generate(**inputs, **GREEDY)[:, -5:]
        call = folded.fold(folded.family.prepared(inputs)).inputs
        mask = call["attention_mask"]
        output = model(**call)
        tokens = [words(output.logits)]
        for _ in range(4):
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
            follows = mask.sum(-1, keepdim=True) - 1 + model.model.rope_deltas
            output = model(
                input_ids=tokens[-1],
                attention_mask=mask,
                position_ids=follows.expand(3, -1, -1),
                past_key_values=output.past_key_values,
            )
            tokens.append(words(output.logits))
    assert torch.equal(torch.cat(tokens, 1), generated)


def test_long_video_after_the_text(built):
    """Where time runs further than the text behind it, the model goes on from the time; so does the folded one."""
    case, model = CASES["qwen2_5_vl"], built["qwen2_5_vl"]
    inputs = case.inputs(model, prompts=(4,), frames=((4,),)) | {"second_per_grid_ts": torch.tensor([9.0])}
    with torch.no_grad():
        stock = stepwise(model, inputs)
        after = model.model.rope_deltas + inputs["input_ids"].shape[1]
        with fold(model, Identity()):
            assert torch.equal(stepwise(model, inputs), stock)
        with fold(model, Chosen((0,))) as folded:
            model(**inputs)
    assert torch.equal(model.model.rope_deltas + folded.last.prompt_after, after)


def test_tokens_are_read_in_the_order_of_their_cells(case, model):
    inputs = case.inputs(model, frames=((3,),))
    order = (70, 3, 25, 24, 3, 50)
    shuffled, sorted_ = (spliced(model, inputs, Chosen(index)) for index in (order, tuple(sorted(order))))
    for name in ("input_ids", "position_ids"):
        assert torch.equal(shuffled[name], sorted_[name])
    with torch.no_grad():
        assert torch.equal(model(**shuffled).logits, model(**sorted_).logits)
    # Two tokens of one cell share its position.
    places = shuffled["input_ids"][0] == VIDEO
    assert places.sum() == 6
    columns = shuffled["position_ids"][1:, 0, places]
    assert torch.equal(columns[:, 0], columns[:, 1])
    assert not torch.equal(columns[:, 1], columns[:, 2])


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe"])
def test_times_of_frames_stay(name, built):
    """Frames keep their text, whether three tokens of theirs are left, or one, or none."""
    case, model = CASES[name], built[name]
    inputs = case.inputs(model, frames=((4,),))
    ids = spliced(model, inputs, Chosen((2, 5, 23, 60)))["input_ids"][0]
    full = inputs["input_ids"][0]
    assert torch.equal(ids[ids != VIDEO], full[full != VIDEO])
    starts, ends = (ids == START).nonzero()[:, 0], (ids == END).nonzero()[:, 0]
    assert (ends - starts - 1).tolist() == [3, 0, 1, 0]


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe"])
@pytest.mark.parametrize("method", [AOT(retention=0.2), AOT.paper(retention=0.2), Random(retention=0.2)], ids=repr)
def test_side_features_are_folded_with_the_weights_of_their_tokens(name, method, built):
    case, model = CASES[name], built[name]
    (video,) = models.encode(model, case.inputs(model, frames=((4,),)), ALL)
    assert video.side.shape == (2, 4, 24, 32)
    reduction = method(video, weights=True)
    for level, side in zip(video.side, reduction.side, strict=True):
        torch.testing.assert_close(torch.sparse.mm(reduction.weights, level.flatten(0, 1)), side)
    outputs = models.family(model).outputs({}, [reduction], None)["video"]
    order = (reduction.frames * 24 + reduction.cells).argsort(stable=True)
    assert torch.equal(outputs.pooler_output[0], reduction.tokens[order])
    for level in range(2):
        assert torch.equal(outputs.deepstack_features[level][0], reduction.side[level, order])


@pytest.mark.parametrize("name", ["qwen3_vl", "qwen3_vl_moe"])
def test_tokens_without_side_features_raise(name, built):
    case, model = CASES[name], built[name]
    bare = Chosen((1, 2, 3))
    with (
        fold(model, lambda tokens: dataclasses.replace(bare(tokens), side=None)),
        pytest.raises(ValueError, match=r"3 tokens.*DeepStack.*Reduction\.side"),
    ):
        model.generate(**case.inputs(model), **GREEDY)


def test_dropping_inside_the_language_model(case, model):
    inputs = case.inputs(model, prompts=(3, 8), frames=((3,), (2,)))
    with fold(model, FastV(retention=0.3, layer=2)) as folded:
        together = model.generate(**inputs, **GREEDY)
        assert folded.last.layers == (120, 120, 36)
        for number, frames in enumerate((3, 2)):
            alone = case.inputs(model, prompts=((3, 8)[number],), frames=((frames,),))
            assert torch.equal(model.generate(**alone, **GREEDY)[0, -5:], together[number, -5:])
    if model.config.model_type.startswith("qwen3"):
        with pytest.raises(ValueError, match=r"FastV.*before layer 1.*DeepStack.*layer 2 on"):
            fold(model, FastV(retention=0.3, layer=1))


def test_default_layers(built):
    family = Qwen2_5VL(built["qwen2_5_vl"])
    assert family.observed_layers() == {"shallow": 0, "deep": 2}
    assert Qwen2VL(built["qwen2_vl"]).observed_layers() == {"shallow": 1, "deep": 2}
    assert Qwen2_5VL(built["qwen2_5_vl"], shallow_layer=-2, deep_layer=0).observed_layers() == {"shallow": 2, "deep": 0}
    with pytest.raises(ValueError, match=r"shallow_layer 1 attends in windows.*\[0, 2\]"):
        Qwen2_5VL(built["qwen2_5_vl"], shallow_layer=1)
    with pytest.raises(ValueError, match=r"deep_layer.*7"):
        Qwen2VL(built["qwen2_vl"], deep_layer=7)


@pytest.mark.parametrize("grid", [(1, 1), (4, 4), (5, 7), (8, 3), (2, 9)])
@pytest.mark.parametrize("side", [1, 2, 4])
def test_windows_equal_the_tower(grid, side):
    height, width = grid
    sizes = torch.tensor([[2, 2 * height, 2 * width]])
    order = get_vision_window_index(sizes, 2, side * 2 * 14, 14)[0].argsort()
    own = window_places(grid, side)
    assert torch.equal(torch.cat([own, own + height * width]), order)


def test_timestamps_are_those_of_the_temporal_patches(built):
    case, model = CASES["qwen2_5_vl"], built["qwen2_5_vl"]
    inputs = case.inputs(model, prompts=(4,), frames=((3, 2),))
    asked = frozenset({"timestamps"})
    for seconds in (torch.tensor([0.5, 2.0]), [0.5, 2.0]):
        first, second = models.encode(model, inputs | {"second_per_grid_ts": seconds}, asked)
        assert first.timestamps.tolist() == [0, 0.5, 1]
        assert second.timestamps.tolist() == [0, 2]
    assert models.encode(model, inputs)[0].timestamps is None
    del inputs["second_per_grid_ts"]
    assert models.encode(model, inputs, asked)[0].timestamps is None
    with pytest.raises(ValueError, match=r"3 intervals.*2 videos"):
        models.encode(model, inputs | {"second_per_grid_ts": [1.0, 1.0, 1.0]}, asked)
    with pytest.raises(ValueError, match=r"qwen3_vl cannot give.*timestamps"):
        models.encode(built["qwen3_vl"], CASES["qwen3_vl"].inputs(built["qwen3_vl"]), asked)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl"])
def test_generate_without_token_types_has_the_positions_of_text(name, built):
    case, model = CASES[name], built[name]
    inputs = case.inputs(model, prompts=(4, 6), frames=((2,), (1,)))
    del inputs["mm_token_type_ids"]
    stock = model.generate(**inputs, **GREEDY)
    with fold(model, Identity()), torch.no_grad():
        assert torch.equal(model.generate(**inputs, **GREEDY), stock)
    inputs |= models.family(model).inferred(inputs)
    short = spliced(model, inputs, Chosen((20,)))["position_ids"]
    lengths = inputs["attention_mask"].sum(1)
    assert torch.equal(short[1:, :, -1], (lengths - 1).expand(3, -1))


@pytest.mark.parametrize("axes", [3, 4])
def test_own_positions_are_kept(case, model, axes):
    inputs = case.inputs(model, frames=((2,),))
    own = 7 + case.positions(model, inputs)["position_ids"]
    own = torch.cat([own[:1], own])[-axes:]
    with torch.no_grad():
        stock = model(**inputs, position_ids=own).logits
        with fold(model, Identity()):
            torch.testing.assert_close(model(**inputs, position_ids=own).logits, stock, rtol=0, atol=1e-4)
    short = spliced(model, inputs | {"position_ids": own}, Chosen((5, 30)))
    assert short["position_ids"].shape == (axes, 1, inputs["input_ids"].shape[1] - 46)
    assert torch.equal(short["position_ids"][-3:, :, -4:], own[-3:, :, -4:])
    if axes == 4:
        assert torch.equal(short["position_ids"][0, 0], torch.arange(short["input_ids"].shape[1]))


def test_a_video_of_one_frame_is_padded_by_the_processor(built):
    """Fewer frames than a temporal patch holds."""
    case, model = CASES["qwen2_vl"], built["qwen2_vl"]
    processor = Qwen2VLVideoProcessor(patch_size=4, merge_size=2, temporal_patch_size=2, do_sample_frames=False)
    frame = torch.randint(0, 255, (1, 3, 48, 32), dtype=torch.uint8)
    made = processor([frame], do_resize=False, return_tensors="pt")
    inputs = case.inputs(model, frames=((1,),)) | dict(made)
    assert inputs["video_grid_thw"].tolist() == [[1, 12, 8]]
    with fold(model, AOT.paper(retention=0.25)) as folded:
        model.generate(**inputs, **GREEDY)
    assert folded.last.after == (6,)


def test_bad_pixels_and_grids_raise(case, model):
    inputs = case.inputs(model, prompts=(3,), frames=((2,),), images=(1,))
    grid = inputs["video_grid_thw"]
    for change, quoted in (
        ({"pixel_values_videos": inputs["pixel_values_videos"][1:]}, r"191 patches.*\[\[2, 12, 8\]\].*192"),
        ({"pixel_values_videos": inputs["pixel_values_videos"][None]}, r"\(patches, values\).*\(1, 192, 96\)"),
        ({"video_grid_thw": None}, "video_grid_thw.*NoneType"),
        ({"video_grid_thw": grid[0]}, r"video_grid_thw.*\(3,\)"),
        ({"video_grid_thw": torch.tensor([[2, 24, 4], [0, 4, 4]])}, r"at least 1.*\[0, 4, 4\]"),
        ({"video_grid_thw": torch.tensor([[2, 96, 1]])}, r"multiples of 2.*\[2, 96, 1\]"),
        ({"pixel_values": inputs["pixel_values"][:5]}, "pixel_values holds 5 patches.*96"),
    ):
        with fold(model, Random(retention=0.3)), pytest.raises(ValueError, match=quoted):
            model.generate(**inputs | change, **GREEDY)


def test_prompts_without_valid_positions_raise(case, model):
    inputs = case.inputs(model, prompts=(3,), frames=((2,),), images=(1,))
    types = inputs["mm_token_type_ids"]
    for change, quoted in (
        ({"mm_token_type_ids": types[:, 1:]}, "mm_token_type_ids must be"),
        ({"attention_mask": inputs["attention_mask"][None]}, r"attention_mask must be .* got \(1, 1, "),
        ({"attention_mask": inputs["attention_mask"][:, 1:]}, r"attention_mask must be .* got \(1, "),
        ({"mm_token_type_ids": types * (torch.arange(types.shape[1]) % 2)}, r"cannot number .*\[\[2, 12, 8\]\]"),
        ({"pixel_values": None, "image_grid_thw": None}, r"cannot number .*one call of the processor"),
    ):
        with fold(model, Random(retention=0.3)), pytest.raises(ValueError, match=quoted):
            model(**inputs | change)


def test_prefill_in_chunks(case, model):
    inputs = case.inputs(model, prompts=(3, 8), frames=((3,), (2, 1)), images=(1, 0))
    chunks = GREEDY | {"prefill_chunk_size": 7}
    if not torch.equal(model.generate(**inputs, **chunks), model.generate(**inputs, **GREEDY)):
        pytest.skip("this version of transformers gives other answers when it reads videos in chunks")
    with fold(model, Random(retention=0.3)):
        assert torch.equal(model.generate(**inputs, **chunks), model.generate(**inputs, **GREEDY))


def test_training_on_the_right_padded(case):
    model = case.build()
    left = case.inputs(model, prompts=(3, 8), frames=((3,), (2,)))
    pads = (left["attention_mask"] == 0).sum(1).tolist()
    names = ("input_ids", "attention_mask", "mm_token_type_ids")
    right = left | {name: torch.stack(list(map(torch.roll, left[name], (-pad for pad in pads)))) for name in names}
    losses = []
    for inputs in (left, right):
        text = (inputs["mm_token_type_ids"] == 0) & (inputs["attention_mask"] == 1) & (inputs["input_ids"] != 1)
        with fold(model, Random(retention=0.3)):
            losses.append(model(**inputs, labels=inputs["input_ids"].masked_fill(~text, -100)).loss)
    torch.testing.assert_close(losses[0], losses[1])
    losses[1].backward()
    assert model.lm_head.weight.grad.abs().sum() > 0
    assert sum(each.grad.abs().sum() > 0 for each in model.model.visual.parameters() if each.grad is not None) > 9


def test_unknown_build_raises(built):
    with pytest.raises(ValueError, match=r"LlavaOnevision.*no compute_3d_position_ids.*qwen2_vl"):
        Qwen2VL(builders.shared(6, 8))
