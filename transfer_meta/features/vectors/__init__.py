"""Task vectors: hashed TF-IDF, files of vectors, similarities."""
