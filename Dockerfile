# One image for every x86-64: llama.cpp's kernels are compiled once per CPU generation and chosen at start.
#
#   docker build -t functiongate .
#   docker run --rm -p 8000:8000 -v functiongate-models:/models functiongate
#
# --build-arg MODEL=smollm2-135m bakes a model in; --build-arg BASE=… names another Debian 12 to start from.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS runtime
ENV PYTHONUNBUFFERED=1
# libgomp1: ggml's thread team. ca-certificates: model downloads.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libgomp1 python3 \
    && apt-get clean && rm -rf /var/lib/apt/lists/*

FROM runtime AS builder
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ make python3-venv \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# llama.cpp is by far the slowest step, so it comes before the sources that change every day; where a new dependency
# invalidates the step all the same, the wheel comes from the cache that make keeps by what the build depends on.
COPY Makefile pyproject.toml ./
COPY requirements requirements
COPY server/llama/bindings.cmake server/llama/hooks.cmake server/llama/
COPY server/llama/kernels server/llama/kernels
RUN --mount=type=cache,target=/var/cache/functiongate \
    make bindings PORTABLE=1 VENV=/opt/functiongate CACHE=/var/cache/functiongate
COPY . .
# The installer, the C headers and the libraries' own tests have no use in the image.
RUN /opt/functiongate/bin/python -m pip install --no-cache-dir --quiet --require-hashes -r requirements/serve.txt \
    && /opt/functiongate/bin/python -m pip install --no-cache-dir --quiet --no-deps \
        --build-constraint requirements/build.txt . \
    && /opt/functiongate/bin/python -m pip check \
    && /opt/functiongate/bin/python -m pip uninstall --quiet --yes setuptools pip \
    && rm -rf /opt/functiongate/*.stamp /opt/functiongate/*.log \
        /opt/functiongate/lib/python3*/site-packages/llama_cpp/include \
        /opt/functiongate/lib/python3*/site-packages/llama_cpp/lib/*/ \
    && find /opt/functiongate -name tests -type d -prune -exec rm -rf {} +

FROM runtime
LABEL org.opencontainers.image.title="FunctionGate" \
    org.opencontainers.image.description="OpenAI-compatible function calling on ordinary CPUs" \
    org.opencontainers.image.licenses="MIT"
COPY --from=builder /opt/functiongate /opt/functiongate
ENV PATH=/opt/functiongate/bin:$PATH \
    FUNCTIONGATE_HOST=0.0.0.0 \
    PORT=8000 \
    FUNCTIONGATE_CACHE_DIR=/models \
    HF_HOME=/models/huggingface
RUN useradd --uid 10001 --no-create-home --home-dir /models --shell /usr/sbin/nologin functiongate \
    && install --directory --owner functiongate --group functiongate /models
USER functiongate
ARG MODEL=
RUN if [ -n "$MODEL" ]; then \
        python -c 'import sys; from server.model_files.catalogue import resolve; resolve(sys.argv[1])' "$MODEL"; \
    fi
VOLUME /models
WORKDIR /models
EXPOSE 8000
# The start period covers the first download of a model.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10m \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.getenv(\"FUNCTIONGATE_PORT\") or os.environ[\"PORT\"]}/health', timeout=2)"]
# The exec form: the server is process 1 and gets SIGTERM itself, so that it can finish what it has begun.
ENTRYPOINT ["functiongate"]
CMD ["serve"]
