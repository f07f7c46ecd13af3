"""Ray's command line, to start a node: `… -m toolrl_cli.training.nodes.ray_start start …`.

It is patient with a node that is slow to begin, and starts no server for Ray's clients: nothing asks it, it needs a
port of its own, and where that is taken by then, `ray start --block` ends with all of the node.
"""

from ray.scripts import scripts

from toolrl_cli.training.nodes.patient_ray import be_patient


def without_client_server() -> None:
    """Let `ray start` take its clients as not installed; a port of None is 10001 to it, and it refuses 0."""
    scripts.get_ray_client_dependency_error = lambda: ImportError("not wanted")


if __name__ == "__main__":
    be_patient()
    without_client_server()
    scripts.main()
