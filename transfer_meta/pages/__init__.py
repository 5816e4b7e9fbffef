"""Reports as self-contained HTML pages: of a table of outcomes, and of a recommendation."""

from transfer_meta.pages.build import Report, ReportSettings, report

__all__ = ["Report", "ReportSettings", "report"]
