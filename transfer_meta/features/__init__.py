"""Tasks and learning curves to named numbers: statistics, curve features, vectors, features of pairs."""
