"""Benchmarks: what a run of the engine costs, beside what people would write without it."""
