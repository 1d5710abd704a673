"""The world of photographs on made-up pictures: true answers by construction, splits that share no file."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lab.photos.clips import cells_of, compose, frames_of
from lab.photos.encode import encode_alone
from lab.photos.groups import GROUPS, OF_CATEGORY, OF_CLASS, of_clip
from lab.photos.measure import answers, fold, settings
from lab.photos.questions import ANSWERS, KINDS, NUMBERS, questions
from lab.photos.reader import ASK, LENGTH, NAMES, PICTURES, PLAN, VOCABULARY, Reader, Sizes, packed, slots
from lab.photos.report import write
from lab.photos.shots import CAMERA, PLACES, SIDE, VIEWS, Shot, alone, box, render
from lab.photos.sources import SPLITS, Source, sources, split_of
from lab.real.numbers import spearman

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of one colour each, 16 of every group."""
    path = tmp_path_factory.mktemp("data")
    (path / "photos/imagenet").mkdir(parents=True)
    (path / "photos/coco").mkdir()
    (path / "photos/coco_boxes").mkdir()
    rng = np.random.default_rng(0)
    taken = dict.fromkeys(GROUPS, 0)
    for name, group in OF_CLASS.items():
        taken[group] += 1
        if taken[group] <= 16:
            _picture(rng).save(path / f"photos/imagenet/n{taken[group]:08d}_{name}.jpg")
    _picture(rng).save(path / "photos/coco/000000000001.jpg")
    (path / "photos/coco_boxes/000000000001.txt").write_text("0 0.5 0.5 0.9 0.9\n16 0.2 0.2 0.05 0.05\n")
    return path


def _picture(rng):
    return Image.fromarray(np.broadcast_to(rng.integers(0, 200, 3, np.uint8), (240, 300, 3)).copy())


@pytest.fixture(scope="module")
def pool():
    """Shots whose pictures need no file; their encoded cells hold the number of the shot and of the picture."""
    rng = np.random.default_rng(1)
    shots = []
    for number in range(60):
        groups = rng.permutation(GROUPS)[: 1 + number % 3]
        pictures = [Source(Path(f"{number}-{at}.jpg"), str(group)) for at, group in enumerate(groups)]
        places = rng.permutation(len(PLACES)).tolist()
        small = tuple(zip(places, pictures[1:], strict=False))
        shots.append(Shot("train", number, pictures[0], small, "still", 0.0, False))
    return tuple(shots)


def test_splits_share_no_file(folder):
    files = {split: {source.path for source in sources(folder, split).every} for split in SPLITS}
    for one, other in itertools.combinations(files.values(), 2):
        assert not one & other
    assert {split_of(path) for path in files["final"]} == {"final"}
    assert sum(map(len, files.values())) == len(list(folder.glob("photos/*/*.jpg")))
    with pytest.raises(ValueError, match="'test'"):
        sources(folder, "test")


def test_sources_are_encoded_into_a_new_folder(folder, tmp_path):
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    tower = CLIPVisionConfig(**sizes, image_size=SIDE, patch_size=16, projection_dim=8)
    CLIPVisionModelWithProjection(tower).save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE).save_pretrained(tmp_path)
    encode_alone(folder, str(tmp_path), tmp_path / "new" / "shots", "confirm", "float32")
    encoded = torch.load(tmp_path / "new" / "shots" / "alone-confirm.pt")
    assert encoded.shape == (len(sources(folder, "confirm").every), 49, 16)


def test_a_split_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="holds no photos"):
        sources(tmp_path, "train")


def test_groups():
    assert set(OF_CLASS.values()) | set(OF_CATEGORY.values()) == set(GROUPS)
    assert of_clip(["person"]) == "person"
    assert of_clip(["dog"]) == "dog"
    assert of_clip(["dog", "person"]) is None
    assert of_clip(("sand",)) is None


def test_coco_parts_by_their_boxes(folder):
    every = [source for split in SPLITS for source in sources(folder, split).every if "coco" in str(source.path)]
    assert {(source.group, source.box) for source in every} == {("person", None), ("person", (15, 12, 285, 228))}


@pytest.mark.parametrize("camera", CAMERA)
def test_small_pictures_stand_at_their_places(folder, camera):
    wide, one, other = sources(folder, "train").wide[:3]
    shot = Shot("train", 0, wide, ((0, one), (3, other)), camera, 0.0, True)
    frames = render(shot)
    assert frames.shape == (VIEWS, SIDE, SIDE, 3)
    for place, source in ((None, wide), *shot.small):
        rows, columns = box(1 if place is None else place)
        seen = frames[:, rows.start * 32 + 16 : rows.stop * 32 - 16, columns.start * 32 + 16 : columns.stop * 32 - 16]
        assert np.abs(seen.astype(int) - alone(source)[112, 112]).max() <= 6


def test_light_changes_evenly(folder):
    shot = Shot("train", 0, sources(folder, "train").wide[0], (), "still", 0.2, False)
    assert np.all(np.diff(render(shot).astype(float).mean((1, 2, 3))) > 0)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("frames", [8, 12, 16])
def test_clips(pool, frames, mixed):
    for number in range(20):
        clip = compose(pool, "train", number, frames, mixed=mixed)
        assert clip == compose(pool, "train", number, frames, mixed=mixed)
        assert sum(part.views for part in clip.parts) == frames
        assert all(0 <= part.first <= VIEWS - part.views for part in clip.parts)
        assert all(one.scene != other.scene for one, other in itertools.pairwise(clip.parts))
        groups = [group for scene in clip.scenes for group in scene.groups]
        assert len(set(groups)) == len(groups)
        for scene in clip.scenes:
            assert {place for place, _ in pool[scene.shot].small} <= {small.place for small in scene.small}
            assert all((small.place, small.source) in pool[small.shot].small for small in scene.small)
            assert mixed or all(small.shot == scene.shot for small in scene.small)


def test_frames_show_what_the_clip_says(pool):
    cells = np.zeros((len(pool), VIEWS, 49, 1), np.float16)
    names = {}
    for number, shot in enumerate(pool):
        for at, source in enumerate((shot.wide, *(source for _, source in shot.small))):
            names[source] = len(names)
            grid = cells[number].reshape(VIEWS, 7, 7, 1)
            grid[(slice(None), *(box(shot.small[at - 1][0]) if at else ()))] = names[source]
    for number in range(20):
        clip = compose(pool, "train", number, 12, mixed=True)
        frames, at = frames_of(clip, cells), 0
        for part in clip.parts:
            truth = np.array([names[picture] for picture in part.scene.pictures])[cells_of(part.scene)]
            for _ in range(part.views):
                np.testing.assert_array_equal(frames[at, :, 0], truth.ravel())
                at += 1


def test_answers_are_true(pool):
    every = [source for shot in pool for source in (shot.wide, *(small for _, small in shot.small))]
    kinds = set()
    for number in range(60):
        clip = compose(pool, "train", number, (8, 12, 16)[number % 3])
        scenes = [part.scene for part in clip.parts]
        for question in questions(clip, every):
            kinds.add(question.kind)
            assert question.answer in ANSWERS[question.kind]
            assert question.answer == _truth(question, scenes)
    assert kinds == set(KINDS)


def _truth(question, scenes):
    """The answer read off the list of scenes, one for each shot of the clip."""
    where = [[at for at, scene in enumerate(scenes) if picture in scene.pictures] for picture in question.pictures]
    yes = {True: "yes", False: "no"}
    small = {each.source: each for scene in scenes for each in scene.small}
    match question.kind:
        case "first":
            return scenes[0].wide.group
        case "last":
            return scenes[-1].wide.group
        case "next":
            return scenes[where[0][0] + 1].wide.group
        case "on":
            return scenes[where[0][0]].small[0].source.group
        case "behind":
            return scenes[where[0][0]].wide.group
        case "where":
            return PLACES[small[question.pictures[0]].place] if where[0] else "no"
        case "order":
            return "one" if where[0][0] < where[1][0] else "two"
        case "seen":
            return yes[bool(where[0])]
        case "again":
            return yes[len(where[0]) > 1]
        case "with":
            return yes[where[0] == where[1]]
        case "follows":
            return yes[where[0][0] == where[1][0] + 1]
        case "many":
            return NUMBERS[len(scenes[where[0][0]].small)]
        case "shots":
            return NUMBERS[len(scenes)]
        case "small":
            return NUMBERS[len(small)]


def test_slots_hold_their_questions(pool):
    every = [shot.wide for shot in pool]
    plan = slots(questions(compose(pool, "train", 3, 12), every))
    ids, pictures = packed(plan)
    assert len(ids) == LENGTH
    assert len(pictures) == len(PICTURES)
    assert [question.kind if question else kind for question, kind in zip(plan, PLAN, strict=True)] == list(PLAN)
    words = list(VOCABULARY)
    for slot, question in enumerate(plan):
        assert words[ids[ASK[slot]]] == "?"
        if question:
            assert words[ids[ASK[slot] + 1]] == question.answer
    assert all(words[ids[at]] == "<picture>" for at in NAMES)


def test_questions_are_read_alone(pool):
    """Another question, and another picture of another question, change no answer."""
    reader = Reader(Sizes(features=8, width=16, layers=3, heads=2)).eval()
    ids = torch.tensor([packed([None] * len(PLAN))[0]])
    tokens, pictures = torch.randn(1, 20, 16), torch.randn(1, len(PICTURES), 16)
    with torch.no_grad():
        final, _, _ = reader.read(tokens, ids, pictures)
        changed = pictures.clone()
        changed[:, 0] += 1
        other, _, _ = reader.read(tokens, ids, changed)
    moved = ((final - other)[0, ASK].abs().amax(-1) > 1e-5).nonzero()[:, 0].tolist()
    assert [PLAN[slot] for slot in moved] == ["next"]


def test_spearman():
    assert spearman([1, 2, 3], [10, 20, 25]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 2], [1, 2, 3]) == pytest.approx(np.sqrt(0.75))
    assert np.isnan(spearman([1, np.nan], [1, 2]))


def test_real_clips_of_one_shot(folder):
    """Of the files that are there, those of one shot that the manifest gives clear objects."""
    (folder / "videos").mkdir()
    for name in ("asl_again.mkv", "iscc_demo.mp4", "videollama_boat.mp4", "not_in_the_manifest.mp4"):
        (folder / "videos" / name).touch()
    sources.cache_clear()
    clips = [source for split in SPLITS for source in sources(folder, split).wide if source.moves]
    assert {(source.path.name, source.group) for source in clips} == {
        ("asl_again.mkv", "person"),
        ("videollama_boat.mp4", "vehicle"),
    }


def test_fold_and_answer(pool, tmp_path):
    """Counts of a reader that was never trained; a second run folds nothing again."""

    class Encoded:
        split, shots = "final", pool
        sources = tuple(dict.fromkeys(each for shot in pool for each in (shot.wide, *(one for _, one in shot.small))))

        def seen(self, number):
            rng = torch.Generator().manual_seed(number)
            shapes = {"features": (4, 196, 8), "shallow": (4, 196), "deep": (4, 196), "keys": (4, 196, 4)}
            return {name: torch.rand(shape, generator=rng).half() for name, shape in shapes.items()}

        def pictures(self, asked):
            return torch.zeros(len(asked), 8)

    methods, folder = ("aot", "random"), tmp_path / "folded"
    fold(Encoded(), settings(methods), range(3), folder)
    written = [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    fold(Encoded(), settings(methods), range(3), folder)
    assert [path.stat().st_mtime_ns for path in sorted(folder.iterdir())] == written
    reader = Reader(Sizes(features=8, width=16, heads=2)).eval()
    found = answers(Encoded(), {"one": reader}, settings(methods), range(3), folder, ("where", "seen"))
    assert found.right.shape == (1, 15, 3, len(KINDS))
    assert (found.right <= found.asked).all()
    assert found.kept[0].tolist() == [1, 1, 1]
    assert found.kept[found.settings.index(("random", 0.1))] == pytest.approx(0.1, abs=0.01)
    assert found.measures[0, :, 0] == pytest.approx(0, abs=1e-3)
    write(found, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "answers.csv",
        "answers.md",
        "answers.npz",
        "answers.png",
        "correlations.csv",
    }
