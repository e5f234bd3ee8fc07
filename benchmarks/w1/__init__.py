"""W1: windowed aggregation of csv rows, by the engine, by hand and as it was done in 2017."""
