"""Arms against each other: pairs, paired tests, claims."""
