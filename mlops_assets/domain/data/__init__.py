"""What comes in: is it whole, is it sound, what is it like."""
