"""Figures of the reports as inline SVG; the only package that imports matplotlib."""
