"""Reading a video for questions in words, with the embedded model."""

import copy
import threading

import pytest
import torch
from transformers import TextStreamer

import vidfold
from tests.models import builders
from vidfold import AOT, fold, tiny
from vidfold.app.asking import processed
from vidfold.app.reading import timed
from vidfold.reading import Wording
from vidfold.reducers import FastV
from vidfold.tiny import questions

CLIP = tiny.render(seed=1_000_000_004)
ASKED = [each.text for each in questions(CLIP)][:4]
FOLD = AOT(retention=0.2)


@pytest.fixture(scope="module")
def video(tiny):
    return vidfold.read(tiny.model, tiny.processor, CLIP.frames, FOLD)


def one_go(tiny, question):
    with fold(tiny.model, FOLD):
        inputs = processed(tiny, timed(CLIP.frames, 1.0), [question])
        output = tiny.model.generate(**inputs, max_new_tokens=8, do_sample=False)
    return tiny.processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def test_a_list_of_questions_is_answered_as_each_alone(tiny, video):
    expected = [one_go(tiny, each) for each in ASKED]
    assert video.ask(ASKED) == expected
    assert [video.ask(each, max_new_tokens=8) for each in ASKED] == expected
    assert video.tokens == FOLD.count(8, 36) == video.prefix.tokens - 3
    assert "288 -> 58 tokens" in str(video)


def test_only_the_question_is_computed(tiny, video):
    read = []
    hook = tiny.model.get_input_embeddings().register_forward_hook(lambda _, given, __: read.append(given[0].shape))
    try:
        video.ask(ASKED[0], max_new_tokens=1)
    finally:
        hook.remove()
    assert read == [Wording(tiny.processor).asked(ASKED[0]).shape]


def test_a_conversation_equals_the_whole_of_it_in_one_go(tiny, video):
    talk = video.chat()
    answers = [talk.ask(each) for each in ASKED[:3]]
    chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": ASKED[0]}]}]
    for answer, question in zip(answers, ASKED[1:3], strict=False):
        chat.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        chat.append({"role": "user", "content": [{"type": "text", "text": question}]})
    inputs = tiny.processor(text=tiny.written(chat), videos=[CLIP.frames], do_sample_frames=False, return_tensors="pt")
    with fold(tiny.model, FOLD):
        output = tiny.model.generate(**inputs, max_new_tokens=8, do_sample=False)
    length = inputs["input_ids"].shape[1]
    assert tiny.processor.decode(output[0, length:], skip_special_tokens=True).strip() == answers[2]
    given = inputs["input_ids"][0]
    assert torch.equal(talk.prefix.ids[0, -9:], torch.cat([given, output[0, length:-1]])[-9:])
    assert talk.turns == tuple(zip(ASKED[:3], answers, strict=True))
    assert talk.prefix.tokens == talk.prefix.ids.shape[1] > video.prefix.tokens
    assert video.chat().ask(ASKED[1], num_beams=2) == video.ask(ASKED[1], num_beams=2)


def test_a_streamer_sees_the_prompt_first(tiny, video, capsys):
    tokenizer = tiny.processor.tokenizer
    answer = video.ask(ASKED[0], streamer=TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True))
    assert capsys.readouterr().out.strip() == answer


def test_the_fold_may_be_gone_or_another_one_be_there(tiny, video):
    answer = video.ask(ASKED[0])
    with fold(tiny.model, FastV(retention=0.2, layer=1)):
        assert video.ask(ASKED[0]) == answer


def test_bad_input(tiny, video):
    small = builders.llava_onevision(6, 8)
    opening = Wording(tiny.processor).opening
    inputs = dict(tiny.processor(text=[opening], videos=[CLIP.frames], do_sample_frames=False, return_tensors="pt"))
    whole = processed(tiny, timed(CLIP.frames, 1.0), [ASKED[0]])
    both = {name: torch.cat([each, each]) for name, each in inputs.items()}
    with fold(tiny.model, FOLD) as folded:
        silent = folded.read(**inputs)
        for message, given in {
            "carry no video": {"input_ids": inputs["input_ids"]},
            "one prompt with its video": both,
            "tokens behind its video": whole,
            "max_new_tokens is no input": inputs | {"max_new_tokens": 3},
        }.items():
            with pytest.raises(ValueError, match=message):
                folded.read(tiny.processor, **given)
    with fold(small, FastV(retention=0.2, layer=1)) as folded, pytest.raises(ValueError, match="ranks tokens by the q"):
        folded.read(**inputs)
    for message, call in {
        "question must not be empty": lambda: video.ask(" "),
        "at least one": lambda: video.ask([]),
        "one answer": lambda: video.ask(ASKED[0], num_return_sequences=2),
        "goes on from one answer": lambda: video.chat().ask(ASKED[0], num_return_sequences=2),
        "without a processor": lambda: silent.ask(ASKED[0]),
        "at least one of each": lambda: video.generate(torch.zeros(1, 0, dtype=torch.int64)),
        "as input_ids are": lambda: video.generate(torch.ones(1, 2).long(), torch.ones(1, 3)),
        "on the left": lambda: video.generate(torch.ones(1, 2).long(), torch.tensor([[1, 0]])),
        "pixel_values_videos came": lambda: video.generate(torch.ones(1, 2).long(), pixel_values_videos=1),
        "prompt_lookup_num_tokens came": lambda: video.ask(ASKED[0], prompt_lookup_num_tokens=2),
        "use_cache=False": lambda: video.generate(torch.ones(1, 2).long(), use_cache=False),
        "cannot be filled": lambda: video.generate(torch.ones(1, 2).long(), cache_implementation="offloaded"),
        "uint8": lambda: vidfold.read(tiny.model, tiny.processor, CLIP.frames / 255, FOLD),
        "fps must be": lambda: vidfold.read(tiny.model, tiny.processor, CLIP.frames, FOLD, fps=0),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()


def test_a_model_that_has_changed_is_refused(tiny):
    model = copy.deepcopy(tiny.model)
    video = vidfold.read(model, tiny.processor, CLIP.frames, FOLD)
    with torch.no_grad():
        next(model.get_decoder().parameters()).add_(0.1)
    for ask in (video.ask, video.chat().ask):
        with pytest.raises(ValueError, match="have changed, or moved, since the video was read"):
            ask(ASKED[0])


def test_one_conversation_takes_one_thread(tiny, video):
    talk, inside, go_on, said = video.chat(), threading.Event(), threading.Event(), []

    def wait(*_):
        inside.set()
        go_on.wait(60)

    hook = tiny.model.get_decoder().register_forward_pre_hook(wait)
    thread = threading.Thread(target=lambda: said.append(talk.ask(ASKED[0])))
    thread.start()
    inside.wait(60)
    with pytest.raises(ValueError, match="another thread is asking"):
        talk.ask(ASKED[1])
    go_on.set()
    thread.join()
    hook.remove()
    assert said == [video.ask(ASKED[0])]
    assert talk.turns == ((ASKED[0], said[0]),)
