"""Attempts as jobs of an existing Ray cluster, by the REST interface of its dashboard (Ray Jobs).

Why not `ray.job_submission`: it imports Ray, which takes seconds; its requests have no time limit, so that a head that
died holds every command for 30 s and more; and it wants a Ray of the cluster's version on this machine.
"""
