"""Start-up: from the start of a process to the first row of a window."""
