"""Hooks of mkdocs: pages that lie outside of docs/, and links that work in the repository as well as on the site.

README.md is the front page; CONTRIBUTING.md, CHANGELOG.md and benchmarks/ are pages too. A link to a file of the
repository that is no page of the site becomes plain text.
"""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""File of the repository -> its page."""
KINDS = {".md", ".png", ".svg", ".csv", ".json"}
"""Files of benchmarks/ that the site has."""
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s:]+)(?P<part>#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    results = [path for path in sorted((ROOT / "benchmarks").rglob("*")) if path.suffix in KINDS]
    outside = PAGES | {name: name for path in results for name in [path.relative_to(ROOT).as_posix()]}
    for name, uri in outside.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at the pages of the site."""
    source = Path(page.file.abs_src_path or "").parent
    pages = {os.path.normpath(each.abs_src_path): each.src_uri for each in files if each.abs_src_path}

    def pointed(link: re.Match[str]) -> str:
        target = os.path.normpath(source / link["target"])
        if target in pages:
            place = os.path.relpath(pages[target], PurePosixPath(page.file.src_uri).parent)
            return f"{link['picture']}[{link['text']}]({place}{link['part'] or ''})"
        # A link to nothing is kept, so that mkdocs complains.
        return link["text"] if os.path.exists(target) else link[0]

    return LINK.sub(pointed, markdown)
