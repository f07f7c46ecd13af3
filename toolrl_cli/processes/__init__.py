"""Operating-system processes: who they are, their trees, and children that never outlive their parent.

A leaf that `training` and `engine` both stand on; of toolrl it imports only the exceptions.
"""
