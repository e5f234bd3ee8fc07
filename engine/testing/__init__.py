"""Tests of configs: rows go in, step by step, and what comes out is compared with what is expected.

No server is asked: the input and all outputs of a config are replaced, and the analysis asks an
embedded store. All else is as in a run: the same check, the same plan, one micro-batch a step.
"""

#: What the name of a file of tests ends with.
SUFFIX = ".test.json"

#: What becomes of a test.
STATUSES = PASSED, UPDATED, FAILED = "passed", "updated", "failed"
