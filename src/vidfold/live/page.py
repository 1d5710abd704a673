"""The page: drop a clip or draw one, ask, and see answers and folds side by side."""

import functools
import html
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidfold import extras, models, tiny
from vidfold.app.loading import VideoModel, usual_frames
from vidfold.app.tables import duration
from vidfold.live.session import Reply, Session
from vidfold.reducers import METHODS, BudgetedReducer, get
from vidfold.video import sample, write

LARGEST = "512mb"
"""Of a dropped file."""
MOST = 128
"""Frames of a video at most."""
DRAWN = 16
"""Frames of a drawn clip."""
SEED = 1_000_000_045
"""Of the clip of `vidfold demo`."""
KEPT = 3600
"""Seconds for which the video of a visitor who has left is kept."""
ROWS = 20
"""Answers that are listed."""
HEAD = ["question", "method", "tokens", "answer", "read in", "answered in"]
STYLE = """
.reply { padding: .6rem .9rem; border: 1px solid var(--border-color-primary); border-radius: 8px; }
.reply b { font-size: 1.4rem; overflow-wrap: anywhere; }
"""


def methods_for(loaded: VideoModel) -> list[str]:
    """Methods with a budget that the model can serve and that read a video without its question."""
    gives = models.family(loaded.model).gives
    named = [name for name, each in METHODS.items() if issubclass(each, BudgetedReducer) and get(name).needs <= gives]
    return sorted(named, key=lambda name: (name != "aot", name))


def build(loaded: VideoModel) -> Any:
    """The page as a Gradio ``Blocks``, for one model and any number of visitors.

    Raises:
        MissingExtra: Gradio is not installed.
    """
    gradio = extras.load("gradio", "app")
    folder = Path(tempfile.mkdtemp(prefix="vidfold-"))

    def told(step: Callable[..., Any]) -> Callable[..., Any]:
        """The step with its errors told on the page."""

        @functools.wraps(step)
        def run(*given: Any) -> Any:
            try:
                return step(*given)
            except (ValueError, OSError, extras.MissingExtra) as error:
                raise gradio.Error(html.escape(str(error)), print_exception=False) from error

        return run

    @told
    def draw(seed: float | None = None) -> tuple[Any, ...]:
        """A clip of the embedded model's worlds as a file, questions about it, and its seed; None takes any."""
        clip = tiny.render(random.choice(tiny.seeds("search", 100_000)) if seed is None else int(seed), DRAWN)
        path = folder / f"clip-{clip.seed}.mp4"
        if not path.exists():
            write(path, clip.frames, fps=2, scale=4, hold=12)
        asked = [each.text for each in tiny.questions(clip)]
        return str(path), gradio.Dropdown(choices=asked, value=asked[0]), clip.seed

    @told
    def ask(
        session: Session | None,
        path: str | None,
        frames: float,
        question: str | None,
        method: str,
        share: float,
        rows: list[list[str]],
    ) -> tuple[Any, ...]:
        """The two answers, the page, and the list of answers with these."""
        if path is None:
            raise ValueError("drop a clip or draw one first")
        if session is None or session.source != (path, frames):
            session, rows = Session(loaded, sample(path, int(frames)), Path(path).name, source=(path, frames)), []
        reducer = get(method, retention=share / 100)
        replies = session.ask(question or "", reducer)
        made = session.page(question or "", *replies, reducer)
        rows = [*(_row(question or "", each) for each in reversed(replies)), *rows][:ROWS]
        unfolded, folded = (_card(*each) for each in zip(("Unfolded", "Folded"), replies, strict=True))
        return session, unfolded, folded, made._repr_html_(), rows, rows

    with gradio.Blocks(title="vidfold", analytics_enabled=False) as page:
        session, rows = gradio.State(None, time_to_live=KEPT), gradio.State([])
        gradio.Markdown(f"# vidfold\nAsk **{loaded.name}** about a clip, with all of its tokens and with fewer.")
        with gradio.Row():
            with gradio.Column():
                video = gradio.Video(label="Clip", sources=["upload"], height=260)
                with gradio.Row():
                    drawing = gradio.Button("Draw a clip")
                    seed = gradio.Number(label="or the one of this seed", precision=0, value=SEED)
            with gradio.Column():
                question = gradio.Dropdown(label="Question", allow_custom_value=True, choices=[], value=None)
                named = methods_for(loaded)
                method = gradio.Dropdown(label="Method", choices=named, value=named[0])
                share = gradio.Slider(1, 100, 10, step=1, label="Tokens kept, %")
                most = gradio.Slider(1, MOST, min(MOST, 2 * usual_frames(loaded.name)), step=1, label="Frames")
                asking = gradio.Button("Ask", variant="primary")
        with gradio.Row():
            unfolded, folded = gradio.HTML(label="Unfolded"), gradio.HTML(label="Folded")
        listed = gradio.Dataframe(headers=HEAD, label="Answers so far", interactive=False, wrap=True)
        report = gradio.HTML(label="What was folded")
        drawing.click(draw, None, [video, question, seed])
        seed.submit(draw, seed, [video, question, seed])
        asking.click(
            ask,
            [session, video, most, question, method, share, rows],
            [session, unfolded, folded, report, rows, listed],
            concurrency_limit=2,
        )
    return page


def serve(loaded: VideoModel, *, host: str | None = None, port: int = 7860, blocks: bool = True) -> Any:
    """Serve the page until it is interrupted; with ``blocks=False`` return it, to be closed by ``close()``.

    Args:
        loaded: the model that answers.
        host: address to serve at; None is this machine alone, or what Gradio's own settings say.
        port: at that address.
        blocks: whether the call waits.

    Raises:
        OSError: the port is taken.
        MissingExtra: Gradio is not installed.
    """
    gradio = extras.load("gradio", "app")
    page = build(loaded)
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        page.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=not blocks,
            max_file_size=LARGEST,
            theme=theme,
            css=STYLE,
            footer_links=["gradio"],
            run_history=False,
            quiet=True,
            share=False,
        )
    except OSError as error:
        raise OSError(f"port {port} cannot be used: choose another with --port ({error})") from error
    return page


def _card(title: str, reply: Reply) -> str:
    """An answer as HTML."""
    share = f"{100 * reply.tokens / reply.before:.1f} %"
    return (
        f'<div class="reply"><div>{title}: {reply.tokens} of {reply.before} tokens ({share})</div>'
        f"<b>{html.escape(reply.text)}</b><div>{_times(reply)}</div></div>"
    )


def _times(reply: Reply) -> str:
    reading, answering = reply.milliseconds["reading"], reply.milliseconds["answering"]
    read = f"video read in {duration(reading)}" if reading else "the video had been read before"
    return f"{read}, question answered in {duration(answering)}"


def _row(question: str, reply: Reply) -> list[str]:
    reading, answering = reply.milliseconds["reading"], reply.milliseconds["answering"]
    read = duration(reading) if reading else "read before"
    return [question, reply.method, str(reply.tokens), reply.text, read, duration(answering)]
