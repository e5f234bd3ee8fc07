"""``spark-submit engine/submit.py CONFIG [options of run]``: the command ``ts-engine run``."""

import os
import sys

# A script's own folder comes first on Python's path, and the modules here would stand before the
# standard library's of the same names; the folder above is where `engine` is found.
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != _here]
if os.path.basename(_here) == "engine":
    sys.path.append(os.path.dirname(_here))

from engine.cli import main  # noqa: E402 - the path must be right first

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
