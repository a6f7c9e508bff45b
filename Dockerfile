# docker build -t peakatlas .                                   CPU
# docker build -t peakatlas:cuda --build-arg FLAVOUR=gpu .      CUDA build of torch and FAISS
# docker run --rm -v "$PWD:/data" -w /data peakatlas annotate query.h5ad --bundle bundle -o out.h5ad
FROM python:3.12-slim

ARG FLAVOUR=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/peakatlas

# torch first and pinned; for the CPU from PyTorch's own index, which leaves the CUDA libraries out
COPY constraints.txt .
RUN version=$(grep '^torch==' constraints.txt) && \
    if [ "$FLAVOUR" = cpu ]; then \
        pip install "$version" --index-url https://download.pytorch.org/whl/cpu; \
    else \
        pip install "$version"; \
    fi
COPY . .
RUN pip install -c constraints.txt ".[$FLAVOUR,remote]" && useradd --create-home peakatlas
USER peakatlas
WORKDIR /data
ENTRYPOINT ["peakatlas"]
CMD ["--help"]
