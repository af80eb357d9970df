"""Which version answers whom, how a new one gets its traffic, and what takes it back."""
