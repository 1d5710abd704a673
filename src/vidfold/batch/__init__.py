"""Questions about many videos: rows in Parquet parts, one for each video and question, whatever fails meanwhile."""

from vidfold.batch.running import rows_of, run, status
from vidfold.batch.settings import Resources, Settings
from vidfold.batch.stage import Ask
from vidfold.batch.tally import Tally
from vidfold.batch.tasks import Task

__all__ = ["Ask", "Resources", "Settings", "Tally", "Task", "rows_of", "run", "status"]
