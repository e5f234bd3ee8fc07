"""The Spark layer: a checked plan becomes streaming DataFrames, in a quiet, tuned session."""
