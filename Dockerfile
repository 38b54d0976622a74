# Installs only locked packages, and runs as an account that owns only /data and /store.
#
#   BASE       an image of Python on Debian; releases pin its digest: --build-arg BASE=python:3.13-slim@sha256:...
#   REVISION   commit that is built
#   SOURCE     URL of its repository
#   CREATED    time of the build, as 2026-11-30T12:00:00Z
ARG BASE=python:3.13-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1
WORKDIR /src

# The shipped environment has no pip: the build environment's pip fills it.
RUN python -m venv /opt/build && python -m venv --without-pip /opt/image-gateway
COPY deploy/requirements/build.txt deploy/requirements/runtime.txt deploy/requirements/sbom.txt deploy/requirements/
RUN /opt/build/bin/pip install --require-hashes --no-deps --only-binary=:all: \
        -r deploy/requirements/build.txt -r deploy/requirements/sbom.txt \
    && /opt/build/bin/pip --python /opt/image-gateway/bin/python install \
        --require-hashes --no-deps --only-binary=:all: -r deploy/requirements/runtime.txt

COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /opt/build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /opt/build/wheels . \
    && /opt/build/bin/pip --python /opt/image-gateway/bin/python install --no-deps --no-index /opt/build/wheels/*.whl \
    && /opt/build/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --spec-version 1.6 \
        --output-file /opt/image-gateway/sbom.cdx.json /opt/image-gateway/bin/python


# hadolint ignore=DL3006
FROM ${BASE}

RUN groupadd --system --gid 10001 gateway \
    && useradd --system --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin gateway \
    && install -d -o 10001 -g 10001 -m 0750 /data /store
COPY --from=build /opt/image-gateway /opt/image-gateway

# Memory that is freed goes back to the system; service/malloc.py says why, and sets the same without a container.
ENV PATH=/opt/image-gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_MMAP_THRESHOLD_=33554432 \
    MALLOC_TRIM_THRESHOLD_=67108864 \
    MALLOC_ARENA_MAX=2 \
    GATEWAY_HOST=0.0.0.0 \
    GATEWAY_PORT=8080 \
    GATEWAY_DATA_DIR=/data \
    GATEWAY_LAME_DUCK_S=8

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM

# http.client, because urllib would use HTTP_PROXY.
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['GATEWAY_PORT']), timeout=3); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]

ENTRYPOINT ["image-gateway"]
CMD ["serve"]

# Last, because they differ in each build.
ARG BASE
ARG REVISION=unknown
ARG SOURCE=
ARG CREATED=
ENV GATEWAY_REVISION=${REVISION}
LABEL org.opencontainers.image.title="Image Gateway" \
      org.opencontainers.image.description="An OpenAI-compatible gateway for image models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
