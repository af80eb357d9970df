# The endpoint on a GPU: CUDA 13 and cuDNN 9, which this onnxruntime-gpu wants. Runs on the CPU too, where the release
# allows it. No torch, no Dagster, no MLflow inside. Build from the project's root:
#   docker build -f infra/docker/endpoint.Dockerfile -t endpoint .
# A promoted version's own image: put `<digest>/` and a file `VERSION` into `baked/`, or let
# `bentoml containerize` build it from the Bento. Without `baked/` the endpoint serves what stands in MLOPS_HOME.
FROM nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3.12 python3.12-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 endpoint

WORKDIR /srv/endpoint
COPY requirements-serving.lock ./
RUN python3.12 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --compile --requirement requirements-serving.lock

COPY serving ./serving
COPY feature_repo ./feature_repo
# `bake[d]` matches the folder where there is one, and nothing else.
COPY LICENSE bake[d] ./baked/

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/endpoint \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    BENTOML_DO_NOT_TRACK=True \
    DO_NOT_TRACK=1 \
    FEAST_USAGE=False \
    MLOPS_HOME=/var/lib/endpoint \
    ENDPOINT_GRPC_HOST=0.0.0.0 \
    ENDPOINT_WORKERS=2
RUN mkdir -p /var/lib/endpoint && chown endpoint /var/lib/endpoint
USER endpoint
VOLUME /var/lib/endpoint
EXPOSE 3001 3002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python3.12", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:3001/readyz', timeout=2)"]
CMD ["bentoml", "serve", "serving.service:Endpoint", "--host", "0.0.0.0", "--port", "3001"]
