"""Operating-system processes: their identity, their trees, and children that never outlive their parent.

Used by `training`, `attempt` and `harness`; it imports nothing of toolrl but the exceptions.
"""
