"""Features of texts and labels: counts, vocabularies, hashes, statistics."""
