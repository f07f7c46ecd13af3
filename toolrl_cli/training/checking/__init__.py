"""Checks at planning time that verl will accept a stage's options."""
