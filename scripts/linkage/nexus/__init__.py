"""The clinic's database: how it is reached, how a mapping reads it, the export from it and publishing to it."""
