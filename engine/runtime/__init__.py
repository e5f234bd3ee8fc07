"""The runtime: runs a checked plan, keeps the ledger, and tells people what happens."""
