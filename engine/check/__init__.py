"""The check: a config becomes a typed plan, or all of its problems at once."""

from engine.check.config import Checked, check

__all__ = ["Checked", "check"]
