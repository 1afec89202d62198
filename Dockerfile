# airsift as a service: a plain user, nothing to build with, a root file system that may be
# read-only. docs/operating.md says how large it is, and that it was not built where it was written.
#
#   docker build --tag airsift .                                   the network on the CPU
#   docker build --tag airsift --build-arg TORCH_INDEX=URL .       and no libraries for a GPU
#   docker build --tag airsift:cuda --build-arg DEVICE=cuda .      on a GPU
#   docker run --rm -e AIRSIFT_KAFKA__BOOTSTRAP_SERVERS=broker:9092 airsift
FROM python:3.11-slim-bookworm AS build

ARG DEVICE=cpu
# torch for Linux carries CUDA; PyTorch's own index of packages has a build for the CPU alone.
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /build
RUN python -m venv /opt/airsift
# What is installed changes seldom, and torch is large: these layers come before the code.
COPY requirements.lock scripts/image_requirements.py ./
RUN python image_requirements.py requirements.lock "${DEVICE}" "${TORCH_INDEX}"
RUN /opt/airsift/bin/pip install --no-deps --requirement torch.txt
RUN /opt/airsift/bin/pip install --no-deps --requirement rest.txt
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY airsift airsift
COPY stream stream
COPY model model
COPY fingerprint fingerprint
RUN /opt/airsift/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm

ARG DEVICE=cpu
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="airsift" \
      org.opencontainers.image.description="Hears speech and music in radio and podcasts as they arrive, and names the music." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

# A volume that is mounted at /catalogue for the first time gets the owner of that folder.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin airsift \
    && install --directory --owner=10001 --group=10001 /catalogue
COPY --from=build /opt/airsift /opt/airsift

# Metrics and health are on loopback, for the check below; AIRSIFT_WATCH__ADDRESS=0.0.0.0 shows
# them to Prometheus. Libraries that want a home get the one place that is always writable.
ENV PATH=/opt/airsift/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    AIRSIFT_MODEL__DEVICE=${DEVICE} \
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
