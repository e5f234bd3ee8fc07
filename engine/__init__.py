"""One JSON config in; a checked, exactly accounted Spark Structured Streaming job out."""

__version__ = "0.1.0"
