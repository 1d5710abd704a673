"""Checkpoints in the format of the authors of LLaVA-OneVision and LLaVA-Video."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, SiglipVisionModel

from tests.models import publishing
from vidfold import AOT, fold, models
from vidfold.app import loading
from vidfold.app.asking import ask
from vidfold.models import LlavaOnevision, LlavaVideo
from vidfold.models.llava_video import time_instruction
from vidfold.models.loading.published_config import config_of
from vidfold.tiny import render, seeds
from vidfold.video import sample, write

QUESTION = "what color is the circle ?"
WORDS = len(publishing.VOCABULARY)


def pixels(frames=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, 96, 128, 3), dtype=np.uint8)


def prompted(processor, kind="video", **pictures):
    chat = [{"role": "user", "content": [{"type": kind}, {"type": "text", "text": QUESTION}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    settings = {"do_sample_frames": False} if kind == "video" else {}
    return dict(processor(text=[text], return_tensors="pt", **settings, **pictures))


@pytest.fixture(scope="module")
def stock():
    """The weights, in the class of transformers that reads them as a LLaVA-OneVision."""
    return publishing.stock()


@pytest.fixture(scope="module")
def weights(stock):
    return publishing.weights(stock)


@pytest.fixture(scope="module")
def video_folder(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return publishing.publish(folder, weights, whole_tower=True, rope_theta=1e6, **publishing.LLAVA_VIDEO)


@pytest.fixture(scope="module")
def llava_video(video_folder):
    return models.load(str(video_folder))


@torch.no_grad()
def by_hand(folder, tensors, pictures, ids, place):
    """Logits by the authors' formula, from the modules of the tower and of the language model alone."""
    tower = SiglipVisionModel(SiglipVisionConfig.from_pretrained(folder / "tower")).eval()
    nested = any(name.startswith("vision_model.") for name in tower.state_dict())
    prefix = "model.vision_tower.vision_tower." + ("" if nested else "vision_model.")
    tower.load_state_dict({name: tensors[prefix + name] for name in tower.state_dict()})
    features = tower(pictures, output_hidden_states=True).hidden_states[-2]
    for number in (0, 2):
        weight, bias = (tensors[f"model.mm_projector.{number}.{part}"] for part in ("weight", "bias"))
        features = functional.linear(functional.gelu(features) if number else features, weight, bias)
    maps = features.view(-1, 27, 27, features.shape[-1]).permute(0, 3, 1, 2)
    maps = functional.avg_pool2d(maps, 2)
    newline = tensors["model.image_newline"][None, :, None, None].expand(len(maps), -1, 13, 1)
    video = torch.cat([maps, newline], 3).permute(0, 2, 3, 1).flatten(0, 2)
    text = {name: tensors[name] for name in tensors if name.startswith(("model.layers.", "model.norm.", "lm_head."))}
    text["model.embed_tokens.weight"] = rows = tensors["model.embed_tokens.weight"]
    fields = {"intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    language = Qwen2ForCausalLM(Qwen2Config(vocab_size=len(rows), hidden_size=32, rope_theta=1e6, **fields)).eval()
    language.load_state_dict(text)
    states = rows[ids]
    states[ids == place] = video
    return language(inputs_embeds=states).logits


def test_logits_equal_the_authors_formula(video_folder, llava_video):
    model, processor = llava_video
    inputs = prompted(processor, videos=[pixels()])
    tensors = {}
    for file in video_folder.glob("*.safetensors"):
        tensors |= load_file(file)
    expected = by_hand(
        video_folder, tensors, inputs["pixel_values_videos"][0], inputs["input_ids"], model.config.video_token_id
    )
    with torch.no_grad():
        torch.testing.assert_close(model(**inputs).logits, expected, rtol=0, atol=1e-4)
    answer = model.generate(**inputs, max_new_tokens=1, min_new_tokens=1, do_sample=False)
    assert answer[0, -1] == expected[0, -1].index_fill(0, torch.tensor([3]), -torch.inf).argmax()


def test_a_llava_onevision_equals_the_class_of_transformers(stock, weights, tmp_path):
    publishing.publish(tmp_path, weights, shards=1, **publishing.LLAVA_ONEVISION)
    model, processor = models.load(str(tmp_path))
    stock.config.image_grid_pinpoints = [[384, 384], [384, 768]]
    assert isinstance(models.family(model), LlavaOnevision)
    assert "get_video_features" not in vars(model.model)
    assert model.config.image_grid_pinpoints == stock.config.image_grid_pinpoints
    wide = pixels(1)[0, :64]
    for inputs in (
        prompted(processor, videos=[pixels()]),
        prompted(processor, "image", images=[wide]),
    ):
        with torch.no_grad():
            assert torch.equal(model(**inputs).logits, stock(**inputs).logits)


def test_prompts_are_laid_out_as_in_training(llava_video):
    model, processor = llava_video
    chat = [{"role": "user", "content": [{"type": "text", "text": QUESTION}, {"type": "video"}]}]
    assert processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        f"<|im_start|>user\n<video>\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    )
    inputs = prompted(processor, videos=[pixels(3)])
    assert (inputs["input_ids"] == model.config.video_token_id).sum() == 3 * 13 * 14
    assert inputs["pixel_values_videos"].shape == (1, 3, 3, 384, 384)
    assert inputs["pixel_values_videos"].min() >= -1
    assert inputs["pixel_values_videos"].max() <= 1
    assert processor.tokenizer.padding_side == "left"


def test_placeholders_use_padding_rows_of_the_embedding(llava_video):
    model, processor = llava_video
    assert len(processor.tokenizer) == WORDS + 2
    assert (model.config.image_token_id, model.config.video_token_id) == (WORDS, WORDS + 1)
    assert model.config.text_config.vocab_size == model.get_input_embeddings().num_embeddings == WORDS + 5
    assert model.generation_config.pad_token_id == processor.tokenizer.pad_token_id
    assert model.generation_config.eos_token_id == processor.tokenizer.eos_token_id


def test_no_free_embedding_row(tmp_path):
    publishing.publish(tmp_path, publishing.weights(publishing.stock(padded=1)), **publishing.LLAVA_VIDEO)
    with pytest.raises(ValueError, match=f"{WORDS + 1} rows of its embedding, none to spare .* token {WORDS + 1}"):
        models.load(str(tmp_path))


def test_saved_model_loads_again(llava_video, tmp_path):
    model, processor = llava_video
    inputs = prompted(processor, videos=[pixels()])
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, reader = models.load(str(tmp_path))
    assert isinstance(models.family(again), LlavaVideo)
    for name, value in prompted(reader, videos=[pixels()]).items():
        assert torch.equal(value, inputs[name])
    with torch.no_grad():
        assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    stock = type(model).from_pretrained(tmp_path)
    assert stock.config.vidfold == model.config.vidfold
    with pytest.raises(ValueError, match=r"loaded without vidfold\.models\.load"):
        models.family(stock)


def test_the_tied_head_of_small_models(weights, tmp_path):
    tied = {name: weight for name, weight in weights.items() if name != "lm_head.weight"}
    given = tied | {"lm_head.weight": tied["model.embed_tokens.weight"].clone()}
    logits = []
    for number, tensors in enumerate((tied, given)):
        folder = publishing.publish(tmp_path / str(number), tensors, tie_word_embeddings=True, **publishing.LLAVA_VIDEO)
        model, processor = models.load(str(folder))
        assert model.lm_head.weight is model.get_input_embeddings().weight
        with torch.no_grad():
            logits.append(model(**prompted(processor, videos=[pixels()])).logits)
    assert torch.equal(*logits)
    folder = publishing.publish(tmp_path / "other", weights, tie_word_embeddings=True, **publishing.LLAVA_VIDEO)
    with pytest.raises(ValueError, match=r"tie_word_embeddings, but lm_head\.weight is another matrix"):
        models.load(str(folder))


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_settings_pass_through(weights, tmp_path, dtype):
    publishing.publish(tmp_path, {name: weight.half() for name, weight in weights.items()}, **publishing.LLAVA_VIDEO)
    loaded = loading.load(str(tmp_path), device="cpu", dtype=dtype, attention="eager")
    assert loaded.model.dtype == (torch.float16 if dtype == "auto" else torch.bfloat16)
    assert loaded.model.config._attn_implementation == "eager"
    assert not loaded.model.training


@pytest.mark.parametrize(
    ("change", "quoted"),
    [
        ({"model.norm.weight": None}, r"lacks weights: model\.norm\.weight$"),
        ({"model.image_newline": None}, r"lacks weights: model\.image_newline$"),
        ({"lm_head.weight": None}, r"lacks weights: lm_head\.weight$"),
        ({"model.faster_token": torch.zeros(32)}, r"holds unknown weights: model\.faster_token$"),
        (
            {"model.mm_projector.2.bias": torch.zeros(31)},
            r"misshapen weights: model\.mm_projector\.2\.bias \(31,\) instead of \(32,\)",
        ),
    ],
    ids=lambda each: "" if isinstance(each, str) else next(iter(each)),
)
def test_error_names_wrong_weights(weights, tmp_path, change, quoted):
    tensors = {name: weight for name, weight in (weights | change).items() if weight is not None}
    publishing.publish(tmp_path, tensors, **publishing.LLAVA_VIDEO)
    with pytest.raises(ValueError, match=quoted):
        models.load(str(tmp_path))


def test_error_names_the_missing_tower(weights, tmp_path):
    tensors = {name: weight for name, weight in weights.items() if "vision_tower" not in name}
    publishing.publish(tmp_path, tensors, **publishing.LLAVA_VIDEO)
    with pytest.raises(ValueError, match=r"lacks weights: model\.vision_tower\.vision_tower\..* and \d+ more"):
        models.load(str(tmp_path))


def test_error_names_the_missing_file(weights, tmp_path):
    publishing.publish(tmp_path, weights, **publishing.LLAVA_VIDEO)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lacks 1 of its 2 files of weights, model-00002-of-00002"):
        models.load(str(tmp_path))
    publishing.publish(tmp_path, weights, **publishing.LLAVA_VIDEO)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"no tokenizer: its folder holds no tokenizer\.json"):
        models.load(str(tmp_path))


@pytest.mark.parametrize(
    ("fields", "quoted"),
    [
        ({"mm_projector_type": "linear"}, "mm_projector_type 'linear'; served is: 'mlp2x_gelu'"),
        ({"mm_vision_select_layer": -1}, "mm_vision_select_layer -1"),
        ({"mm_patch_merge_type": "flat"}, "mm_patch_merge_type 'flat'"),
        ({"mm_spatial_pool_stride": 4}, "mm_spatial_pool_stride 4"),
        ({"add_faster_video": True}, "add_faster_video True"),
        ({"mm_newline_position": "frame"}, "'average' with mm_newline_position 'frame'; served are: 'bilinear'"),
        ({"mm_spatial_pool_mode": "max"}, "mm_spatial_pool_mode 'max'"),
        ({"image_aspect_ratio": "pad"}, "image_aspect_ratio 'pad'"),
        ({"mm_vision_tower": None}, "mm_vision_tower 'None'; served is: siglip-so400m-patch14-384, or a folder"),
    ],
    ids=str,
)
def test_error_names_unsupported_builds(tmp_path, fields, quoted):
    with pytest.raises(ValueError, match=quoted):
        config_of(publishing.config(**publishing.LLAVA_VIDEO | fields), tmp_path, rows=0)


@pytest.mark.parametrize(
    "tower", ["google/siglip-so400m-patch14-384", "/somewhere/else/siglip-so400m-patch14-384"], ids=str
)
def test_the_published_tower_is_cut_to_26_layers(tmp_path, tower):
    config = config_of(publishing.config(mm_vision_tower=tower, **publishing.LLAVA_VIDEO), tmp_path, rows=0)
    vision = config.vision_config
    assert (vision.num_hidden_layers, vision.hidden_size, vision.image_size // vision.patch_size) == (26, 1152, 27)
    assert not vision.vision_use_head
    assert config.vision_feature_layer == -1
    assert config.vidfold == {
        "family": "llava_video",
        "pooling": "average",
        "force_sample": True,
        "add_time_instruction": True,
    }


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write(path, render(seeds("search", 1)[0]).frames, fps=2, scale=4, hold=12)
    return path


def test_asking_about_a_file(video_folder, clip):
    loaded = loading.load(str(video_folder), device="cpu")
    frames = sample(clip, 4)
    unfolded = ask(loaded, frames, QUESTION, max_new_tokens=4)
    folded = ask(loaded, frames, QUESTION, AOT(retention=0.1), max_new_tokens=4)
    assert (unfolded.tokens_before, unfolded.tokens_after) == (676, 676)
    assert (folded.tokens_before, folded.tokens_after) == (676, 68)
    told = loaded.processor.tokenizer(time_instruction(frames.duration, frames.timestamps))["input_ids"]
    with fold(loaded.model, AOT(retention=1.0)) as handle:
        ask(loaded, frames, QUESTION, max_new_tokens=1)
    bare = prompted(loaded.processor, videos=[frames.pixels])
    assert handle.last.prompt_before == bare["input_ids"].shape[1] + len(told)


def test_command(video_folder, clip, capsys):
    from vidfold.cli import main

    command = ["ask", str(clip), QUESTION, "--model", str(video_folder), "--frames", "4", "--device", "cpu", "--json"]
    assert main([*command, "--max-new-tokens", "2"]) in (0, None)
    answer = json.loads(capsys.readouterr().out)
    assert answer["folded"]["tokens_before"] == 676
    assert answer["folded"]["tokens_after"] == 68


@pytest.mark.parametrize("force", [True, False])
def test_sampling_settings_of_the_checkpoint(weights, tmp_path, clip, force, capsys):
    from vidfold.cli import main

    publishing.publish(tmp_path, weights, force_sample=force, **publishing.LLAVA_VIDEO)
    loaded = loading.load(str(tmp_path), device="cpu")
    family, length = models.family(loaded.model), sample(clip, 1).duration
    assert family.force_sample is force
    seconds = round(length)
    assert 2 < seconds < 8
    assert family.shown_frames(length, 8) == (8 if force else seconds)
    assert family.shown_frames(length, 2) == 2
    main(["ask", str(clip), QUESTION, "--model", str(tmp_path), "--frames", "8", "--max-new-tokens", "1", "--json"])
    assert json.loads(capsys.readouterr().out)["frames"] == (8 if force else seconds)
