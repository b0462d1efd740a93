# Maskreel on CPUs:  docker build --tag maskreel .
#                    docker run --rm --volume "$PWD:/data" maskreel predict bundled video.mp4 --out out
# PyPI's torch for Linux is the CUDA build, several gigabytes. Give PyTorch's own CPU index to avoid that:
#                    docker build --build-arg TORCH_INDEX=ADDRESS --tag maskreel .
FROM debian:bookworm-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/maskreel
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src

ARG TORCH_INDEX=""
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt \
        ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} . \
    && useradd --create-home maskreel

USER maskreel
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /data
ENTRYPOINT ["maskreel"]
CMD ["--help"]
