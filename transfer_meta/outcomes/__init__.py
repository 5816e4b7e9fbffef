"""Tables of transfer outcomes: reading, checks, gain definitions, importers, and the tables that ship."""
