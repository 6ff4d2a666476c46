"""Readers of what others write, fed with what nobody would write; `make fuzz` gives them more of it."""
