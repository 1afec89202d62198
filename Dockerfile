# airsift as a service: the steps of `make install`, and a user without rights.
#
#   docker build --tag airsift .
#   docker run --rm -e AIRSIFT_KAFKA__BOOTSTRAP_SERVERS=broker:9092 airsift \
#       run --source kafka --sink kafka
#
# The network runs on the CPU; --build-arg DEVICE=cuda lets it use a GPU (not yet run on one).
FROM python:3.11-slim-bookworm

ARG DEVICE=cpu
ENV AIRSIFT_MODEL__DEVICE=${DEVICE} \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /airsift
# What is installed changes seldom, and torch is large: this layer comes before the code.
COPY Makefile pyproject.toml requirements.lock README.md LICENSE ./
COPY scripts scripts
COPY airsift/__init__.py airsift/__init__.py
COPY configs configs
RUN make install && rm -rf /var/lib/apt/lists/*

COPY airsift airsift
COPY stream stream
COPY model model
COPY fingerprint fingerprint

RUN useradd --create-home --uid 10001 airsift
USER airsift
ENTRYPOINT ["/airsift/.venv/bin/airsift"]
CMD ["--help"]
