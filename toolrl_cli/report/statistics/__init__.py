"""The statistics of the report, as functions of plain numbers.

There are two separate sources of error. *Seed variance*: another seed gives another model; estimated from the spread
over seeds (`seeds`). *Sampling error*: the benchmark has a finite number of items; estimated from counts and per-item
verdicts (`items`). Neither includes the other; `seeds.seed_mean` gives both together where it is told both.

Only `scipy.special` and numpy are used, imported on first use: `scipy.stats` takes a second to import.
"""
