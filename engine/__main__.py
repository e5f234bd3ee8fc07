"""``python -m engine``: the same as the command ``ts-engine``."""

import sys

from engine.cli import main

sys.exit(main())
