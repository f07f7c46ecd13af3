"""How calls are read, compared and paired, as settings: what almost every published design does in its own way."""
