"""The examples run; models of all families read the prompts of their processors."""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import vidfold
from vidfold import AOT, Identity, fold, models
from vidfold.app.asking import ask
from vidfold.app.loading import VideoModel
from vidfold.models import FAMILIES
from vidfold.video import Frames

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def each_family():
    spec = importlib.util.spec_from_file_location("each_family", EXAMPLES / "each_family.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # A model of each family is built once for all tests.
    module.byte_tokenizer = functools.cache(module.byte_tokenizer)
    module.FAMILIES = {
        name: functools.cache(functools.partial(seeded, build)) for name, build in module.FAMILIES.items()
    }
    return module


def seeded(build, tokenizer):
    """The same weights whichever test comes first."""
    torch.manual_seed(0)
    return build(tokenizer)


def test_each_family_is_folded(each_family, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    each_family.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert {row[0] for row in rows} == set(FAMILIES)
    for _, before, after, prompt, cache, *_ in rows:
        assert int(after) == int(int(before) * 0.1 + 0.5)
        assert int(cache) <= int(prompt) - int(before) + int(after) + 8


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_prompts_of_the_real_processors(each_family, name):
    case = each_family.FAMILIES[name](each_family.byte_tokenizer())
    model, inputs = case.model.eval(), each_family.prompt(case)
    with torch.no_grad():
        stock = model(**inputs).logits
        with fold(model, Identity()) as folded:
            torch.testing.assert_close(model(**inputs).logits, stock, rtol=0, atol=1e-4)
    frames = each_family.FRAMES // (2 if name.startswith("qwen") else 1)
    assert folded.last.before == (frames * 16,)


TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}VIDEO\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_asking_each_family(each_family, name):
    case = each_family.FAMILIES[name](each_family.byte_tokenizer())
    case.processor.chat_template = TEMPLATE.replace("VIDEO", case.video)
    count = each_family.FRAMES
    times = np.linspace(0, each_family.SECONDS, count, endpoint=False)
    pixels = each_family.clip().permute(0, 2, 3, 1).contiguous().numpy()
    frames = Frames(pixels, times, each_family.SECONDS, count / each_family.SECONDS, count, count)
    loaded = VideoModel(name, case.model.eval(), case.processor, 0.0)
    full = ask(loaded, frames, "What moves?", max_new_tokens=2)
    folded = ask(loaded, frames, "What moves?", AOT(retention=0.1), max_new_tokens=2)
    assert full.tokens_after == full.tokens_before == folded.tokens_before
    assert folded.tokens_after == int(folded.tokens_before * 0.1 + 0.5)
    assert folded.cache_positions < full.cache_positions


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_reading_each_family(each_family, name):
    """Real processors and their templates: read once or in one go, a conversation, and a stream."""
    case = each_family.FAMILIES[name](each_family.byte_tokenizer())
    case.processor.chat_template = CHAT.replace("VIDEO", case.video)
    model, count = case.model.eval(), each_family.FRAMES
    times = np.linspace(0, each_family.SECONDS, count, endpoint=False)
    pixels = each_family.clip().permute(0, 2, 3, 1).contiguous().numpy()
    frames = Frames(pixels, times, each_family.SECONDS, count / each_family.SECONDS, count, count)
    loaded, fold_ = VideoModel(name, model, case.processor, 0.0), AOT(retention=0.1)
    video = vidfold.read(model, case.processor, frames, fold_)
    questions = ["What moves?", "And where does it go?"]
    assert video.ask(questions, max_new_tokens=3) == [
        ask(loaded, frames, each, fold_, max_new_tokens=3).text for each in questions
    ]
    talk = video.chat()
    for each in questions:
        talk.ask(each, max_new_tokens=3)
    assert talk.turns[0][1] == video.ask(questions[0], max_new_tokens=3)
    with fold(model, fold_) as folded:
        if models.family(model).text_between_frames:
            with pytest.raises(ValueError, match="text between frames"):
                folded.stream(case.processor)
            return
        stream = folded.stream(case.processor, max_tokens=180, recent=2, block=4)
    stream.push(np.concatenate([pixels, pixels]))
    assert stream.state().tokens <= 180
    assert stream.ask(questions[0], max_new_tokens=3) == stream.video().ask(questions, max_new_tokens=3)[0]


CHAT = (
    "{% for message in messages %}[{{ message['role'] }}]{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}VIDEO\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}<end>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
"""Turns that end by the token that ends answers."""
