"""Whether verl will take a stage's options, found when they are planned."""
