"""Fine-tuning: from a plan of runs to logged scores and curves.  The only place that imports torch."""
