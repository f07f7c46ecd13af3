"""The parts of the benchmark Bamboogle: dialogue, search and judgement."""
