"""Trainers of the algorithms that verl 0.9.1's own trainer cannot run, as subclasses of it, and their program."""
