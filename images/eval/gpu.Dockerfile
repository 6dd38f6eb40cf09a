# Image of the stage eval for GPUs, with vLLM. `make images GPU=1` builds it; the context is the project's root.
# vLLM pins torch and much else, so it has a lock of its own and shares no layer with the image of train.
ARG PIN=@sha256:0a310eeecf4e1f5a0743f9a6520c90c88d089c903ca5fd283f501e3a805f5f89
FROM python:3.11-slim-bookworm${PIN} AS base

# Tools: an init that forwards signals and reaps, and a pip that stays out of the image. The init's file is copied alone, so
# its entry of dpkg goes where scanners look for the packages of images without apt.
FROM base AS tools
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini=0.19.* \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir /var/lib/dpkg/status.d && dpkg --status tini >/var/lib/dpkg/status.d/tini
RUN python -m venv /pip && python -m venv --without-pip /venv

# The libraries, CUDA's among them. The lock is complete, so nothing is resolved, and vLLM's wheels for Linux need no build.
FROM tools AS libraries
COPY requirements/install requirements/pip.txt requirements/eval-gpu.txt /locks/
RUN --mount=type=cache,target=/cache \
    PIP_CACHE_DIR=/cache /locks/install /pip/bin/python eval-gpu /venv/bin/python

# The project's code: the layer of megabytes that a changed line moves.
FROM base AS code
WORKDIR /app
COPY fingpt fingpt
COPY jobs jobs
COPY k8s k8s
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX,go-w .

FROM base
# Triton, which compiles kernels where they run, needs a C compiler.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc=4:12.* libc6-dev=2.36-* \
 && rm -rf /var/lib/apt/lists/*
# No file grants rights to whoever runs it, and the user has a name, which some libraries ask for.
RUN find / -xdev -perm /6000 -type f -exec chmod a-s {} + \
 && useradd --uid 65532 --user-group --no-create-home --home-dir /scratch --shell /usr/sbin/nologin fingpt
COPY --from=tools /usr/bin/tini /usr/bin/tini
COPY --from=tools /usr/share/doc/tini /usr/share/doc/tini
COPY --from=tools /var/lib/dpkg/status.d /var/lib/dpkg/status.d
COPY --from=libraries /venv /venv
COPY --from=code /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK NONE
ENTRYPOINT ["tini", "--", "python", "-m", "jobs.eval"]
ARG VERSION REVISION LOCK PIN
LABEL org.opencontainers.image.title="fingpt-eval-gpu" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="python:3.11-slim-bookworm${PIN}" \
      fingpt-jobs.lock-sha256="${LOCK}"
