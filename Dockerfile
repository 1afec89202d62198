# airsift as a service: an unprivileged user, no build tools, a root file system that may be
# read-only. This file has not been built yet; docs/operating.md states its estimated size.
#
#   docker build --tag airsift .                                   for the CPU
#   docker build --tag airsift --build-arg TORCH_INDEX=URL .       for the CPU, without GPU libraries
#   docker build --tag airsift:cuda --build-arg DEVICE=cuda .      for a GPU
#   docker build --tag airsift:edge --target edge .                for the CPU, without torch
#   docker run --rm -e AIRSIFT_KAFKA__BOOTSTRAP_SERVERS=broker:9092 airsift
FROM python:3.11-slim-bookworm AS build

ARG DEVICE=cpu
# torch for Linux contains CUDA; PyTorch's own package index has a build for the CPU alone.
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /build
RUN python -m venv /opt/airsift
# Dependencies change seldom, and torch is large: their layers come before the code.
COPY requirements.lock scripts/image_requirements.py ./
RUN python image_requirements.py requirements.lock "${DEVICE}" "${TORCH_INDEX}"
RUN /opt/airsift/bin/pip install --no-deps --requirement torch.txt
RUN /opt/airsift/bin/pip install --no-deps --requirement rest.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY configs configs
COPY docs/schemas docs/schemas
COPY airsift airsift
COPY stream stream
COPY model model
COPY fingerprint fingerprint
RUN /opt/airsift/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm AS build-edge

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /build
RUN python -m venv /opt/airsift
COPY requirements-edge.lock ./
RUN /opt/airsift/bin/pip install --no-deps --requirement requirements-edge.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY configs configs
COPY docs/schemas docs/schemas
COPY airsift airsift
COPY stream stream
COPY model model
COPY fingerprint fingerprint
# Nothing uses setuptools, which venv adds.
RUN /opt/airsift/bin/pip install --no-deps --no-build-isolation . \
    && /opt/airsift/bin/pip uninstall --yes setuptools

FROM python:3.11-slim-bookworm AS service

ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="airsift" \
      org.opencontainers.image.description="Finds speech and music in radio and podcasts as they arrive, and identifies the music." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

# A new volume that is mounted at one of these folders gets its owner.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin airsift \
    && install --directory --owner=10001 --group=10001 /catalogue /history

# Metrics and health are on loopback, for the check below; AIRSIFT_WATCH__ADDRESS=0.0.0.0 opens
# them to Prometheus. HOME is the one folder that is always writable.
ENV PATH=/opt/airsift/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AIRSIFT_WATCH__PORT=9464 \
    AIRSIFT_WATCH__LOG=json

USER 10001
WORKDIR /tmp
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["airsift"]
CMD ["run", "--source", "kafka", "--sink", "kafka"]

FROM service AS edge

COPY --from=build-edge /opt/airsift /opt/airsift

FROM service

ARG DEVICE=cpu
ENV AIRSIFT_MODEL__DEVICE=${DEVICE}
COPY --from=build /opt/airsift /opt/airsift
