"""Runs what is owed of a stage graph: scheduler, slots, launchers."""
