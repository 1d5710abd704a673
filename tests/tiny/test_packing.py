import numpy as np
import pytest
import torch

from vidfold.tiny.export import ask
from vidfold.tiny.language import END, VOCABULARY, processor
from vidfold.tiny.model import TinyConfig, build
from vidfold.tiny.packing import ASK, LABELS, LENGTH, NAMED_SLOTS, NAMES, PLAN, asked, pack, project, read, see
from vidfold.tiny.scenes import COLORS, FRAMES, render
from vidfold.tiny.scoring import answer

SIZES = TinyConfig(patch=8, vision_width=32, vision_layers=2, vision_heads=2, width=48, layers=3, heads=3)
WORDS = list(VOCABULARY)


def test_a_batch_holds_its_clips():
    batch = pack(range(4), grid=12)
    for row, seed in enumerate(range(4)):
        clip = render(seed)
        np.testing.assert_array_equal(batch.pixels[row].numpy(), clip.frames)
        told = [WORDS[index] for index in batch.answers[row].tolist()]
        assert told == [question.answer for question in asked(clip)]
    assert batch.ids.shape == (4, LENGTH)
    assert batch.patches.shape == (4, FRAMES, 144, len(LABELS))


def test_fewer_frames_are_evenly_spaced():
    some = pack(range(2), grid=12, frames=4)
    np.testing.assert_array_equal(some.pixels[1].numpy(), render(1).frames[1::2])
    with pytest.raises(ValueError, match="frames must divide 8; got 3"):
        pack(range(1), grid=12, frames=3)


def test_slots_ask_what_the_plan_says():
    for seed in range(6):
        clip = render(seed)
        assert tuple(question.kind for question in asked(clip)) == PLAN
        shapes = {question.text for question in asked(clip) if question.kind == "shape"}
        assert len(shapes) == min(4, len(clip.objects))


def test_names_point_at_the_colours():
    batch = pack(range(5), grid=12)
    for row in batch.ids[:, NAMES].tolist():
        assert all(WORDS[index] in COLORS for index in row)
    assert len(NAMED_SLOTS) == len(NAMES) == PLAN.count("shape")


def test_patch_labels_tell_what_a_patch_shows():
    batch, clip = pack(range(1), grid=12), render(0)
    for label, thing in enumerate((*clip.objects, clip.dot), start=1):
        covered = (clip.labels == label).reshape(FRAMES, 12, 8, 12, 8).sum((2, 4)).reshape(FRAMES, 144)
        shown = batch.patches[0, ..., LABELS.index(thing.color)].numpy()
        np.testing.assert_array_equal(shown, covered >= 4)
    shown = batch.patches[0, ..., LABELS.index(clip.scene)].float().mean()
    assert 0.9 < shown <= 1, "the scene shows in almost every patch"


def test_every_question_is_read_as_if_it_stood_alone():
    model, reader = build(SIZES).eval(), processor(SIZES.patch)
    clip = render(0)
    batch = pack(range(1), SIZES.grid)
    generated = ask(model, reader, clip.frames, [question.text for question in asked(clip)])
    assert generated[:, 0].tolist() == answer(model, batch)[0].tolist()

    text = reader.apply_chat_template(
        [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": asked(clip)[2].text}]}],
        add_generation_prompt=True,
    )
    inputs = reader(text=[text], videos=[clip.frames], return_tensors="pt")
    with torch.no_grad():
        alone = model(**inputs).logits[0, -1]
        tokens = project(model, see(model, batch.pixels.flatten(0, 1)), 1)
        packed = model.lm_head(read(model, tokens, batch.ids)[0][0, ASK[2]])
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-5)


def test_slots_end_with_their_answer():
    ids = pack(range(1), grid=12).ids[0]
    assert WORDS[ids[ASK[0]]] == "assistant"
    assert WORDS[ids[ASK[0] - 2]] == END
    assert WORDS[ids[ASK[0] + 1]] == render(0).scene
