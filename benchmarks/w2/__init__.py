"""W2: as many windows as rows, by the engine and by hand."""
