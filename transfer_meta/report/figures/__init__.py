"""Figures of the reports as inline SVG.  The only place that imports matplotlib."""
