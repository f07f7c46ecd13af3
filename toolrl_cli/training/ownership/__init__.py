"""Which option of verl is whose: a setting's, toolrl's own, or the user's."""
