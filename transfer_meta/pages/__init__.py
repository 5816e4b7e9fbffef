"""Reports as self-contained HTML pages: of a table of outcomes, and of a recommendation."""

from transfer_meta.pages.build import Report, build_report
from transfer_meta.pages.page import write_report

__all__ = ["Report", "build_report", "write_report"]
