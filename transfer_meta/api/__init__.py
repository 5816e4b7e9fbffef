"""Public functions that join several rooms of the package; each has a command of the same name."""
