"""Turns a scenario and a seed into an endless sequence of rows.

Row i depends on the seed and on i alone. So a restarted stream goes on exactly where it stopped,
tasks make parts of it side by side, and the truth tells what an engine should have found in it.
Standard library only.
"""

from engine.simulator.building import Building, Measurement
from engine.simulator.building_truth import truth as building_truth
from engine.simulator.rows import Rows
from engine.simulator.sensors import FIELDS, Reading, Sensors, data_structure
from engine.simulator.simulation import SCENARIOS, Simulation, rows_due
from engine.simulator.truth import truth

__all__ = [
    "FIELDS",
    "SCENARIOS",
    "Building",
    "Measurement",
    "Reading",
    "Rows",
    "Sensors",
    "Simulation",
    "building_truth",
    "data_structure",
    "rows_due",
    "truth",
]
