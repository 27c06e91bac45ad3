# longspan-server with its embedded model. It is built from Debian packages and pinned wheels, by
# the same script as everywhere:
#   docker build -t longspan .                      for processors
#   docker build --target gpu -t longspan:gpu .     for NVIDIA cards, and processors where none is
# --build-arg BASE=IMAGE names another Debian 12 image to build on. The server runs as user 10001,
# needs no writable root (/tmp may be a tmpfs) and drains on SIGTERM.
ARG BASE=debian:bookworm-slim

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV LONGSPAN_CACHE=/cache LONGSPAN_CMAKE_ARGS="-DLONGSPAN_BUILD_TESTS=OFF"
WORKDIR /src
# The packages that the script lists come first, so that a change of the sources keeps this layer.
COPY dev ./
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip ca-certificates && ./dev setup && rm -rf /var/lib/apt/lists/*
COPY CMakeLists.txt CMakePresets.json LICENSE NOTICE ./
COPY cmake cmake
COPY proto proto
COPY core core
COPY server server
COPY client client
RUN ./dev build longspan-server longspan longspan-model embedded_model && ./dev install /opt/longspan

# hadolint ignore=DL3006
FROM ${BASE} AS cpu
RUN apt-get update && apt-get install -y --no-install-recommends \
      libgrpc++1.51 libprotobuf32 libprometheus-cpp-core1.0 libabsl20220623 libicu72 libcairo2 fonts-dejavu-core ca-certificates \
    && rm -rf /var/lib/apt/lists/*
# What changes least comes first, so that a new version keeps the layers of LibTorch and the model.
COPY --from=build /opt/longspan/lib /opt/longspan/lib
COPY --from=build /opt/longspan/models /opt/longspan/models
COPY --from=build /opt/longspan/LICENSE /opt/longspan/NOTICE /opt/longspan/
COPY --from=build /opt/longspan/licenses /opt/longspan/licenses
COPY --from=build /opt/longspan/bin /opt/longspan/bin
ENV PATH=/opt/longspan/bin:$PATH LONGSPAN_MODEL=/opt/longspan/models/all-MiniLM-L6-v2 LONGSPAN_LISTEN=0.0.0.0:50051 LONGSPAN_HTTP=0.0.0.0:8080
USER 10001:10001
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
# The check follows LONGSPAN_LISTEN. Where --listen says otherwise, LONGSPAN_SERVER names what to
# check, and with TLS LONGSPAN_CA the authority.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["longspan", "health"]
ENTRYPOINT ["longspan-server"]

# The plugin for cards, and the libraries of LibTorch's CUDA part that it needs.
FROM build AS gpu-build
ENV LONGSPAN_CMAKE_ARGS="-DLONGSPAN_BUILD_TESTS=OFF -DLONGSPAN_CUDA_LIBRARIES=ON"
RUN ./dev build longspan_cuda && ./dev install /opt/cards cards

# The driver comes from the machine, through the NVIDIA container runtime.
FROM cpu AS gpu
COPY --from=gpu-build /opt/cards/lib /opt/longspan/lib
COPY --from=gpu-build /opt/cards/licenses /opt/longspan/licenses
COPY --from=gpu-build /opt/cards/bin /opt/longspan/bin
ENV LD_LIBRARY_PATH=/opt/longspan/lib/torch/lib LONGSPAN_DEVICE=auto NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

# What is built where no target is named.
FROM cpu
