"""The benchmarks that toolrl knows: one module each, with its one object."""
