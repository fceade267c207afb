"""The site agent: enrols, publishes what its inputs read, keeps it until the platform has it, renews its certificate."""
