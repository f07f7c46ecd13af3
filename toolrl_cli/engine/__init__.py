"""Run stages and remember what happened, so that anything may be killed and the same command goes on.

From the ground up: `files` and `lease` (what a kill cannot tear, who may write), `state` and `ledger` (what is
known of a stage), `failures`, `tracebacks`, `divergence` and `classify` (why an attempt failed), `attempt` and
`monitor` (the process that does a stage's work), `aftermath` (what a dead one leaves to others), `launchers`
(where attempts run), `starting`, `queueing`, `order`, `scheduler` and `events` (who runs next), `outputs` and
`losses` (what done stages have lost since), `plan` (what is owed and why), `rewinding` (setting back).
"""
