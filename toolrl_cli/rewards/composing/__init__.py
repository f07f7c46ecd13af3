"""Parts that depend on other parts: conditions, and the order in which they are computed."""
