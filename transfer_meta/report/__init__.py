"""The main job on one table of outcomes, and the page that shows what came of it."""

from transfer_meta.report.build import Report, build_report
from transfer_meta.report.page import write_report

__all__ = ["Report", "build_report", "write_report"]
