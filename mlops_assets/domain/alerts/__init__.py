"""Alerts: which of them are open, and which notifications each destination still has to receive."""
