"""Accuracy of folded models on synthetic clips: settings are chosen on one split and reported on another."""

from vidfold.bench.suites.cases import Case
from vidfold.bench.suites.entries import Entry
from vidfold.bench.suites.panel import FULL, Prepared, prepare, score
from vidfold.bench.suites.plan import SUITES, Plan, Suite
from vidfold.bench.suites.running import Results, run
from vidfold.bench.suites.statistics import Estimate, holm, kind_accuracy, mean_accuracy
from vidfold.bench.suites.writing import write_suite

__all__ = [
    "FULL",
    "SUITES",
    "Case",
    "Entry",
    "Estimate",
    "Plan",
    "Prepared",
    "Results",
    "Suite",
    "holm",
    "kind_accuracy",
    "mean_accuracy",
    "prepare",
    "run",
    "score",
    "write_suite",
]
