"""Turns a seed into an endless sequence of sensor rows: row i depends on the seed and on i alone.

So a restarted stream goes on exactly where it stopped, tasks make parts of it side by side, and
`truth` can tell what an engine should have found in it. Standard library only.
"""

from engine.simulator.sensors import FIELDS, Reading, Sensors, data_structure
from engine.simulator.simulation import SCENARIOS, Simulation, rows_due
from engine.simulator.truth import truth

__all__ = [
    "FIELDS",
    "SCENARIOS",
    "Reading",
    "Sensors",
    "Simulation",
    "data_structure",
    "rows_due",
    "truth",
]
