"""A soak: whether state, memory and the time of a batch stay flat."""
