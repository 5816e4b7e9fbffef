# The web page:  docker build -f deploy/page.Dockerfile -t transfer-meta-page:0.1.0 .
# Its root file system may be read-only: at run time only /tmp is written to.
FROM python:3.12-slim-bookworm

WORKDIR /opt/transfer-meta
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY data data
COPY transfer_meta transfer_meta
# Without torch the page ranks by the texts alone, and shows tables of outcomes; with the extras of the other image it
# ranks by encoders too and shows a run store, and has some GB.
ARG EXTRAS=web
RUN pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]"

RUN useradd --create-home --uid 1000 --user-group page
USER 1000:1000
WORKDIR /tmp
ENV PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp/matplotlib XDG_CACHE_HOME=/tmp/cache
EXPOSE 8760
CMD ["transfer-meta", "serve", "--host", "0.0.0.0"]
