"""Streams: memory that does not grow, a resolution that fades, questions at any time."""

import copy

import numpy as np
import pytest
import torch

import vidfold
from tests.models import builders
from vidfold import AOT, fold, tiny
from vidfold.reading.fading import Span, fading, folded, joined
from vidfold.reducers import FastV
from vidfold.tiny import questions

CLIP = tiny.render(seed=1_000_000_004)
QUESTION = "what is the last scene?"


@pytest.fixture
def stream(tiny):
    with fold(tiny.model, AOT(retention=0.1)) as handle:
        return handle.stream(tiny.processor, max_tokens=180, recent=2, block=2)


def test_recent_frames_stay_whole_and_the_rest_fades(stream):
    most = []
    for number in range(26):
        stream.push(np.roll(CLIP.frames[number % 8], number, 1), [number / 2])
        state = stream.state()
        most.append((state.tokens, state.nbytes))
        assert state.tokens <= 180
        assert state.nbytes <= state.max_nbytes
        assert (state.frames, state.seconds) == (number + 1, number / 2)
    assert len(set(most[-4:])) <= 2  # nothing grows
    assert state.spans[-1] == (24, 25, 72)
    assert [last + 1 for _, last, _ in state.spans[:-1]] == [first for first, _, _ in state.spans[1:]]
    assert state.spans[0][0] == 0
    assert {kept for *_, kept in state.spans[:-1]} == {7}


def test_spans_grow_with_their_age():
    spans, now = [], 0
    for _ in range(5000):
        spans.append(Span(now, now + 3, torch.zeros(1, 4), torch.zeros(1), torch.zeros(1)))
        now += 4
        while len(spans) > 40:
            at = fading(spans, now)
            spans[at : at + 2] = [Span(spans[at].first, spans[at + 1].last, *[torch.zeros(1)] * 3)]
    ages = np.array([now - (each.first + each.last) / 2 for each in spans])
    lengths = np.array([each.last - each.first + 1 for each in spans])
    shares = lengths / ages
    old = ages > 400
    assert old.sum() > 10
    assert shares[old].max() < 4 * shares[old].min()
    slope = np.polyfit(np.log(ages[old]), np.log(lengths[old]), 1)[0]
    assert 0.8 < slope < 1.2


def test_folding_again_keeps_time_and_place_and_what_is_rare():
    common, rare = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0, 1.0, 0, 0])
    tokens = common.repeat(20, 1) + 0.01 * torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    tokens[13] = rare
    halves = [
        Span(10 * n, 10 * n + 9, tokens[10 * n :][:10], torch.arange(10.0) + 10 * n, torch.arange(10)) for n in (0, 1)
    ]
    span = folded(joined(halves), 6, AOT())
    assert (span.first, span.last, len(span)) == (0, 19, 6)
    (at,) = torch.isclose(span.tokens, rare).all(1).nonzero()[:, 0].tolist()
    assert (float(span.times[at]), int(span.cells[at])) == (13.0, 3)
    assert torch.equal(span.times, span.times.sort().values)


def test_a_stream_that_fits_is_answered_as_its_frames(tiny, stream):
    """While all frames are whole nothing differs from an unfolded video."""
    stream.push(CLIP.frames[:3])
    inputs = vidfold.read(tiny.model, tiny.processor, CLIP.frames[:3], vidfold.Identity())
    video = stream.video()
    assert torch.equal(video.prefix.ids, inputs.prefix.ids)
    for ours, theirs in zip(video.prefix.layers, inputs.prefix.layers, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    asked = [each.text for each in questions(CLIP)][:2]
    assert stream.ask(asked) == inputs.ask(asked)
    assert stream.video() is video
    stream.push(CLIP.frames[3])
    assert stream.video() is not video


def test_only_what_changed_is_read_again(tiny, stream):
    read = []
    hook = tiny.model.get_input_embeddings().register_forward_hook(lambda _, given, __: read.append(given[0].shape[1]))
    try:
        for number in range(10):
            stream.push(np.roll(CLIP.frames[number % 8], number, 1))
            read.clear()
            video = stream.video()
            length = video.prefix.ids.shape[1]
            assert len(read) == 1
            if number and not number % 2:  # one more frame, and no block is full
                assert read == [36 + 1]
        fresh = stream.reading(stream.spans)
    finally:
        hook.remove()
    assert read[-1] == fresh.prefix.ids.shape[1] == length
    assert torch.equal(video.prefix.ids, fresh.prefix.ids)
    for ours, theirs in zip(video.prefix.layers, fresh.prefix.layers, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_a_stream_goes_on_from_a_file(tiny, stream, tmp_path):
    frames = [np.roll(CLIP.frames[number % 8], number, 1) for number in range(19)]
    stream.push(np.stack(frames[:13]))
    path = tmp_path / "film.vidfold"
    assert stream.save(path, film="a film") == path.stat().st_size
    with fold(tiny.model, AOT(retention=0.1)) as handle:
        again, other = (handle.stream(tiny.processor, max_tokens=n, recent=2, block=2) for n in (180, 300))
    assert again.restore(path) == {"film": "a film"}
    assert (again.frames, again.seconds) == (12, 11.0)
    for each in (stream, again):
        each.push(np.stack(frames[each.frames :]))
    assert again.state().spans == stream.state().spans
    assert again.ask(QUESTION) == stream.ask(QUESTION)
    for ours, theirs in zip(again.video().prefix.layers, stream.video().prefix.layers, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="pushed already"):
        again.restore(path)
    with pytest.raises(ValueError, match="is of a stream with"):
        other.restore(path)
    with pytest.raises(ValueError, match="no block of the stream is full"):
        other.save(path)
    with pytest.raises(ValueError, match="is a saved stream, not a video"):
        vidfold.open_video(path, tiny.model)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut short"):
        other.restore(path)


def test_a_model_that_has_changed_is_refused(tiny):
    model = copy.deepcopy(tiny.model)
    with fold(model, AOT(retention=0.1)) as handle:
        stream = handle.stream(tiny.processor, max_tokens=400)
    stream.push(CLIP.frames)
    stream.ask(QUESTION)
    with torch.no_grad():
        next(model.parameters()).mul_(2)
    stream.push(CLIP.frames)
    with pytest.raises(ValueError, match="have changed, or moved"):
        stream.ask(QUESTION)


def test_every_family(case, model):
    """Blocks of the family's own kind; the past is folded, side features with it, newlines are placed anew."""
    from vidfold.models import family as family_of
    from vidfold.reading.held import Block
    from vidfold.reading.limits import Limits
    from vidfold.reading.stream import Stream

    family = family_of(model)
    if family.text_between_frames:
        with pytest.raises(ValueError, match="have text between frames"):
            Stream(family, AOT(0.2), None, Limits())
        return
    inputs = case.inputs(model, prompts=(1,), frames=((2,),))
    stream = Stream(family, AOT(0.2), None, Limits(max_tokens=400, recent=2, block=2))
    held, method = stream._held, AOT(0.2)
    held.opening = {name: each for name, each in inputs.items() if not name.startswith("pixel_values")}
    (video,) = family.encode(inputs)
    held.block = Block((9, 9), video.language_grid, video.frames * video.cells, method.count(2, video.cells), 9)
    held.old = [Span.of(method(video), 2 * number, torch.arange(2.0).double() + 2 * number) for number in range(4)]
    held.old[:2] = [folded(joined(held.old[:2]), held.block.kept, AOT())]
    held.frames, held.seconds = 8, 7.0
    read = stream._read()
    assert read.tokens == sum(map(len, held.old))
    assert read.times == tuple(sorted({time for each in held.old for time in each.times.tolist()}))
    held.old.append(Span.of(method(video), 8, torch.arange(2.0).double() + 8))
    after, fresh = stream.reading(held.old, read), stream.reading(held.old)
    for ours, theirs in zip(after.prefix.layers, fresh.prefix.layers, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    answer = read.generate(torch.tensor([[20, 21]]), max_new_tokens=2, do_sample=False)
    assert answer.shape == (1, 4)


def test_bad_input(tiny, stream):
    with pytest.raises(ValueError, match="nothing was pushed yet"):
        stream.ask(QUESTION)
    for message, frames, times in (
        ("got .0, 96, 96, 3", CLIP.frames[:0], None),
        ("uint8, got", CLIP.frames / 255, None),
        ("uint8, got", CLIP.frames[..., 0], None),
        ("one a frame, got 1 for 8", CLIP.frames, [0.0]),
        ("must go up, got 1.0 after 2.0", CLIP.frames[:3], [0.0, 2.0, 1.0]),
        ("must go up", CLIP.frames[:3], [0.0, 1.0, float("nan")]),
        ("must be finite", CLIP.frames[:2], [0.0, float("inf")]),
    ):
        with pytest.raises(ValueError, match=message):
            stream.push(frames, times)
    stream.push(CLIP.frames[0], [5.0])
    with pytest.raises(ValueError, match=r"must go up, got 5.0 after 5.0"):
        stream.push(CLIP.frames[0], [5.0])
    with pytest.raises(ValueError, match=r"must be \(96, 96\) pixels as before, got \(48, 96\)"):
        stream.push(CLIP.frames[0, :48])
    assert stream.state().frames == 1
    with fold(tiny.model, AOT(retention=0.1)) as handle:
        with pytest.raises(ValueError, match=r"max_tokens=100 is too small: .* that is 316"):
            handle.stream(tiny.processor, max_tokens=100).push(CLIP.frames)
        with pytest.raises(ValueError, match="max_tokens must be a whole number"):
            handle.stream(tiny.processor, max_tokens=0)
    small = builders.llava_onevision(6, 8)
    with fold(small, FastV(retention=0.2, layer=1)) as handle, pytest.raises(ValueError, match="no exact retention"):
        handle.stream(tiny.processor)
