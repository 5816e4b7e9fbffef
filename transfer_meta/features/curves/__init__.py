"""Learning curves: log files, fits, features."""
