"""Sets that can be fetched, as data: NAME.json says where its files are, whose they are, and what each object weighs [kg]."""
