"""How many frames and tokens a budget pays for: what a folded call costs, and the choice that follows."""

from vidfold.planning.choice import Option, Plan, paid_for, plan
from vidfold.planning.costs import Costs, Line, calibrate

__all__ = ["Costs", "Line", "Option", "Plan", "calibrate", "paid_for", "plan"]
