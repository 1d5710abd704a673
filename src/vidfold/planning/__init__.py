"""How many frames and tokens a budget pays for: what a folded call costs, and the choice that follows."""

from vidfold.planning.choice import Option, Plan, paid_for, plan
from vidfold.planning.costs import Costs, Line, calibrate
from vidfold.planning.known import known_costs, usual_folder

__all__ = ["Costs", "Line", "Option", "Plan", "calibrate", "known_costs", "paid_for", "plan", "usual_folder"]
