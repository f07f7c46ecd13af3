"""Ray's command line, patient with a node that is slow to begin: `… -m toolrl_cli.training.nodes.ray_start start …`."""

from ray.scripts.scripts import main

from toolrl_cli.training.nodes.patient_ray import be_patient

if __name__ == "__main__":
    be_patient()
    main()
