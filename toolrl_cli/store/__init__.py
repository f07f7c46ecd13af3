"""The only room that reads and writes what is on disk: the ledger of stages, sweeps, metrics, scores."""
