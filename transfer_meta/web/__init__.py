"""Local web page: ask for sources, look at outcomes, watch runs.

The server process answers requests and renders pages; whatever reads an upload or computes runs as a job in a
worker process, see `transfer_meta.web.jobs`.
"""
