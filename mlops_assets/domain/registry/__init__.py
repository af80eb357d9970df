"""Versions, where they come from, and the ledger of what was decided about them."""
