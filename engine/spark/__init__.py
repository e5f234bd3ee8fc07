"""The Spark layer: a checked plan becomes streaming DataFrames in a session that is quiet and tuned."""
