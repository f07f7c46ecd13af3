"""Models behind OpenAI's HTTP interface: the server on toolrl's own engine, and its start, watch and end."""

from toolrl_cli.training.serving.endpoint import Endpoint as Endpoint
from toolrl_cli.training.serving.endpoint import serving as serving
