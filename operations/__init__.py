"""The operations and aggregations that a rule can name: each one a declared function."""
