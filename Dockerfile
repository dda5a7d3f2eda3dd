# An image with tfps, the recipes in models/ and their dependencies, without or with GPU support:
#
#   docker build --tag tfps:0.1.0 .
#   docker build --tag tfps:0.1.0-gpu --build-arg DEVICE=gpu .
#
# See docs/images.md for podman, buildah, images of your own, and machines without containers.

# Any image with glibc and Python 3.11 or newer. It needs no CUDA: with DEVICE=gpu, CUDA is installed as NVIDIA's
# wheels, in the versions that TensorFlow asks for.
ARG BASE=python:3.11-slim-bookworm

# If an edit of pyproject.toml leaves these requirements unchanged, nothing is installed again.
FROM ${BASE} AS requirements
ARG EXTRAS="recipes kubernetes"
WORKDIR /build
COPY pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    extras = [project['optional-dependencies'][name] for name in '${EXTRAS}'.split()]; \
    print(*project['dependencies'], *sum(extras, []), sep='\n')" > requirements.txt

FROM ${BASE} AS dependencies
ARG DEVICE=cpu
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /build
COPY docker/ ./docker/
COPY requirements.lock ./
COPY --from=requirements /build/requirements.txt ./
# TensorFlow's headers, and a C parser that none of its modules imports, are removed.
RUN python -m venv /opt/venv \
    && pip install --no-cache-dir --constraint requirements.lock setuptools \
    && pip install --no-cache-dir --no-build-isolation --constraint requirements.lock \
        --requirement requirements.txt --requirement "docker/${DEVICE}.txt" \
    && rm -r /opt/venv/lib/python3.*/site-packages/tensorflow/include \
        /opt/venv/lib/python3.*/site-packages/clang

FROM dependencies AS package
COPY pyproject.toml README.md LICENSE ./
COPY tfps/ ./tfps/
RUN pip install --no-cache-dir --no-build-isolation --no-deps --no-warn-script-location --root /package .
COPY models/ /package/app/models/
# Tasks run as the user that the job spec names, so any user may write to the working folder, as to /tmp.
RUN python -m compileall -q /package/app/models && chmod 1777 /package/app

FROM ${BASE}
# The driver belongs to the node. With GPUs, NVIDIA's container toolkit adds these parts of it.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV PATH=/opt/venv/bin:$PATH HOME=/app PYTHONUNBUFFERED=1
COPY --from=dependencies /opt/venv/ /opt/venv/
COPY --from=package /package/ /
WORKDIR /app
USER 1000:1000
CMD ["tfps", "--help"]
LABEL org.opencontainers.image.title="tfps" \
    org.opencontainers.image.description="Train Keras 3 models on TensorFlow parameter servers." \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="0.1.0"
