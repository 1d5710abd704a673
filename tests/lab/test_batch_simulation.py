"""The real scheduler and ledger in simulated time."""

import argparse
import re

import pytest

from lab.batch_simulation import simulate


@pytest.mark.lab
def test_every_video_has_one_row_and_failures_cost_little(capsys, tmp_path):
    pytest.importorskip("pyarrow")
    world = {"decode": 2.0, "model": 1.0, "spread": 0.7, "lifetime": 0.05, "restart": 5.0, "deadly": 0.01}
    simulate(argparse.Namespace(**world, overhead=0.0005, videos=2000, workers=20, decoders=4, scratch=str(tmp_path)))
    told = capsys.readouterr().out
    assert re.search(r"2,000 on 20 workers, 2,000 rows, \d\d with an error", told)
    assert re.search(r"deaths +\d+ of workers", told)
