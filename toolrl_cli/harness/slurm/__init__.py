"""Attempts as jobs of a Slurm cluster, by its own programs: `sbatch`, `squeue`, `scontrol`, `scancel`.

Why not submitit (1.5.4): it asks `sacct` alone how jobs stand, so that where accounting is off every state is UNKNOWN
and a crash is never seen; it pickles a function and its result, where an attempt has its own files; and it leaves
SIGTERM unheeded, so that a requeue by hand makes no checkpoint.
"""
