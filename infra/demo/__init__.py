"""`make demo`: replays the year against a running `make run`."""
