"""The Python files of users' rewards: which belong together, and how they are imported."""
