"""The repair of a torchvision that does not load, on packages that stand for the real ones."""

import os

import pytest
import torch

from vidfold.cli import main, repair

BROKEN = """
import torch
class Boxes(torch.nn.Module): ...
torch.library.register_fake("torchvision::nms")(lambda *_: None)
"""
"""Stops as the wheel of PyPI does beside a CPU torch: its library, which declares the operator, did not load."""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder of packages that fresh interpreters look in first, with a torchvision built for CUDA."""

    def install(code: str, version: str = "0.28.0") -> None:
        (tmp_path / "torchvision").mkdir(exist_ok=True)
        (tmp_path / "torchvision" / "__init__.py").write_text(code)
        for old in tmp_path.glob("*.dist-info"):
            (old / "METADATA").unlink()
            old.rmdir()
        (tmp_path / f"torchvision-{version}.dist-info").mkdir()
        (tmp_path / f"torchvision-{version}.dist-info" / "METADATA").write_text(
            f"Name: torchvision\nVersion: {version}"
        )

    # The .pth files of a folder in PYTHONPATH are read only where a sitecustomize asks for it; this environment may be
    # repaired itself.
    (tmp_path / "sitecustomize.py").write_text(
        f"import site, sys\nsys.modules.pop({repair.MODULE!r}, None)\n"
        f"sys.meta_path[:] = [each for each in sys.meta_path if type(each).__module__ != {repair.MODULE!r}]\n"
        f"site.addsitedir({str(tmp_path)!r})\n"
    )
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), before])))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    return install


@pytest.mark.lab
@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch is built for CUDA")
def test_repair_makes_torchvision_load_until_a_matching_build_is_installed(packages, capsys):
    packages(BROKEN)
    assert main(["repair"]) == 0
    assert "torchvision loads now: wrote" in capsys.readouterr().out
    assert main(["repair"]) == 0
    assert "nothing to repair" in capsys.readouterr().out
    whole = 'import torch\ntorch.library.Library("torchvision", "FRAGMENT").define("nms(Tensor dets) -> Tensor")\n'
    packages(whole)
    assert main(["repair"]) == 2, "the operator is declared twice: the check of the next lines would prove nothing"
    packages(whole, version="0.28.0+cpu")
    assert main(["repair"]) == 0


def test_other_errors_are_not_repaired(packages, tmp_path, capsys):
    packages("raise RuntimeError('something else')")
    assert main(["repair"]) == 2
    assert "no repair for this: RuntimeError: something else" in capsys.readouterr().err
    assert not (tmp_path / f"{repair.MODULE}.pth").exists()
