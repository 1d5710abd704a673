import numpy as np
import pytest
import torch

from lab.architecture import TinyConfig, build
from lab.asking import ask
from lab.packing import (
    ASK,
    LABELS,
    LENGTH,
    NAMED_SLOTS,
    NAMES,
    PLAN,
    Batch,
    asked,
    by_kind,
    pack,
    patch_labels,
    project,
    question_ids,
    read,
    see,
)
from lab.processing import processor
from lab.questions import every_question
from lab.scoring import answer
from vidfold.tiny.language import END, VOCABULARY
from vidfold.tiny.scenes import FRAMES, render, seeds
from vidfold.tiny.textures import SIZE
from vidfold.tiny.worlds import COLORS, SCENES, WORLDS

SIZES = TinyConfig(patch=8, vision_width=32, vision_layers=2, vision_heads=2, width=48, layers=3, heads=3)
WORDS = list(VOCABULARY)
SEEDS = [seed for world in WORLDS for seed in seeds("train", 3, world=world)]


@pytest.mark.parametrize("frames", [4, FRAMES, 16])
def test_batch_contents(frames):
    batch = pack(SEEDS, grid=12, frames=frames)
    for row, seed in enumerate(SEEDS):
        clip = render(seed, frames)
        np.testing.assert_array_equal(batch.pixels[row].numpy(), clip.frames)
        told = [WORDS[index] for index in batch.answers[row].tolist()]
        for slot, question in enumerate(asked(clip)):
            assert batch.valid[row, slot] == (question is not None)
            assert question is None or told[slot] == question.answer
    assert batch.ids.shape == (len(SEEDS), LENGTH)
    assert batch.patches.shape == (len(SEEDS), frames, 144, len(LABELS))
    assert batch.pixels.shape == (len(SEEDS), frames, SIZE, SIZE, 3)


def test_slots_follow_the_plan():
    for seed in SEEDS:
        clip = render(seed, 16)
        slots = asked(clip)
        assert all(question is None or question.kind == kind for question, kind in zip(slots, PLAN, strict=True))
        told = [question for question in slots if question is not None]
        assert len(set(told)) == len(told)
        known = every_question(clip)
        assert set(told) <= set(known)
        for kind in set(PLAN):
            there = sum(question.kind == kind for question in known)
            assert sum(question.kind == kind for question in told) == min(there, PLAN.count(kind))


def test_names_are_positions_of_the_subject():
    for frames in (FRAMES, 16):
        batch = pack(SEEDS, grid=12, frames=frames)
        for row, seed in enumerate(SEEDS):
            slots = asked(render(seed, frames))
            for slot, place in zip(NAMED_SLOTS.tolist(), NAMES.tolist(), strict=True):
                word = WORDS[batch.ids[row, place]]
                assert word in (*COLORS, *SCENES)
                assert slots[slot] is None or word in slots[slot].text.replace("?", "").split()
    assert {PLAN[slot] for slot in NAMED_SLOTS} == {"next", "tiny", "shape", "behind", "where", "moves"}


def test_patch_labels():
    for seed in SEEDS:
        clip = render(seed, 16)
        shown = patch_labels(clip, 12)
        tiny = np.zeros(shown.shape[:2], bool)
        for label, thing in enumerate((*clip.objects, *clip.dots), start=1):
            covered = (clip.labels == label).reshape(16, 12, 8, 12, 8).sum((2, 4)).reshape(16, 144) >= 4
            np.testing.assert_array_equal(shown[..., LABELS.index(thing.color)], covered)
            tiny |= covered & (thing.shape == "dot")
        np.testing.assert_array_equal(shown[..., LABELS.index("tiny")], tiny)
        for frame in range(16):
            showing = [scene for scene in SCENES if shown[frame, :, LABELS.index(scene)].any()]
            assert showing == [clip.scene_at(frame)]
            assert shown[frame, :, LABELS.index(showing[0])].mean() > 0.7, "the scene shows in almost every patch"


@pytest.mark.parametrize(("seed", "frames"), [(SEEDS[0], FRAMES), (SEEDS[3], 12)])
def test_packed_questions_equal_single_prompts(seed, frames):
    model, reader = build(SIZES).eval(), processor(SIZES.patch)
    clip = render(seed, frames)
    batch = pack([seed], SIZES.grid, frames)
    put = {slot: question.text for slot, question in enumerate(asked(clip)) if question is not None}
    generated = ask(model, reader, clip.frames, list(put.values()))
    assert generated[:, 0].tolist() == answer(model, batch)[0, list(put)].tolist()

    slot = list(put)[-2]
    text = reader.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": put[slot]}]}],
        add_generation_prompt=True,
    )
    inputs = reader(text=[text], videos=[clip.frames], return_tensors="pt")
    with torch.no_grad():
        alone = model(**inputs).logits[0, -1]
        tokens = project(model, see(model, batch.pixels.flatten(0, 1)), 1)
        packed = model.lm_head(read(model, tokens, batch.ids)[0][0, ASK[slot]])
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-5)


def test_slots_end_with_their_answer():
    ids = pack(SEEDS[:1], grid=12).ids[0]
    assert WORDS[ids[ASK[0]]] == "assistant"
    assert WORDS[ids[ASK[0] - 2]] == END
    assert WORDS[ids[ASK[0] + 1]] == asked(render(SEEDS[0]))[0].answer


def test_empty_slots_are_ignored():
    clip = next(clip for clip in map(render, seeds("train", 50)) if None in asked(clip))
    slots = asked(clip)
    assert len(question_ids(slots)) == LENGTH
    valid = torch.tensor([[question is not None for question in slots]])
    assert by_kind(valid, valid) == by_kind(torch.ones_like(valid), valid)
    for kind, share in by_kind(torch.ones_like(valid), valid).items():
        there = any(question is not None and question.kind == kind for question in slots)
        assert share == (1 if there else 0)


def test_accuracy_weighs_questions_not_slots():
    kind = next(kind for kind in PLAN if PLAN.count(kind) == 2)
    one, other = (slot for slot, each in enumerate(PLAN) if each == kind)
    right, valid = torch.zeros(2, 3, len(PLAN), dtype=torch.bool)
    valid[:, one], valid[0, other], right[:, other], right[0, one] = True, True, True, True
    assert by_kind(right, valid)[kind] == pytest.approx(2 / 4)


def test_batch_to_device_moves_every_tensor():
    batch = pack(SEEDS[:1], grid=12)
    moved = batch.to(torch.device("meta"))
    assert isinstance(moved, Batch)
    assert {getattr(moved, name).device.type for name in ("pixels", "patches", "ids", "valid")} == {"meta"}
