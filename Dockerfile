# longspan-server with its embedded model. It is built from Debian packages and pinned wheels, by
# the same script as everywhere:
#   docker build --target cpu -t longspan .         for processors; what is built without a target
#   docker build --target gpu -t longspan:gpu .     for NVIDIA cards, and processors where none is
#   docker build --target server -t longspan:bare . for processors, without a model: mount one
# The legacy builder also builds what it does not need, so name the target. The image has no shell
# and no package manager: the two programs, the libraries that they load, certificates. The server
# runs as user 10001, needs no writable root and drains on SIGTERM. Build arguments:
#   BASE       Debian 12 image to build on
#   PACKAGES   Debian packages: locked (deploy/image/packages.lock), or newest: what the mirror has
#   VERSION, REVISION, SOURCE   for the labels; ./dev image sets the first two
#   SOURCES, CACHE              folders of the build, which must not matter (./dev image --twice)
ARG BASE=debian:bookworm-slim

# hadolint ignore=DL3006
FROM ${BASE} AS packages
ARG PACKAGES=locked
ENV LONGSPAN_CACHE=/cache
WORKDIR /src
COPY deploy/image/packages.sh deploy/image/packages.lock deploy/image/
# The packages that the script lists come first, so that a change of the sources keeps this layer.
COPY dev ./
RUN bash deploy/image/packages.sh pin \
    && apt-get install -y --no-install-recommends python3 python3-pip ca-certificates \
    && ./dev setup && bash deploy/image/packages.sh check && rm -rf /var/lib/apt/lists/*

FROM packages AS build
ARG SOURCES=/src
ARG CACHE=/cache
ENV LONGSPAN_CACHE=${CACHE} LONGSPAN_CMAKE_ARGS="-DLONGSPAN_BUILD_TESTS=OFF -DLONGSPAN_MAP_PATHS=ON"
WORKDIR ${SOURCES}
COPY dev CMakeLists.txt CMakePresets.json LICENSE NOTICE ./
COPY cmake cmake
COPY proto proto
COPY core core
COPY server server
COPY client client
RUN ./dev build longspan-server longspan longspan-model embedded_model && ./dev install /opt/longspan
COPY deploy/image/assemble_root.py deploy/image/crate_licenses.py deploy/image/
# The same files give the same layers, whenever they were built: their times are one and the same.
RUN python3 deploy/image/assemble_root.py /rootfs /opt/longspan/bin/longspan-server /opt/longspan/bin/longspan \
    && python3 deploy/image/crate_licenses.py core/tokenizer/ffi/Cargo.toml /opt/longspan/licenses/crates \
    && find /opt/longspan /rootfs -exec touch --no-dereference --date=@0 {} +

FROM scratch AS server
# What changes least comes first, so that a new version keeps the layers below it.
COPY --from=build /opt/longspan/lib /opt/longspan/lib
COPY --from=build /rootfs /
COPY --from=build /opt/longspan/LICENSE /opt/longspan/NOTICE /opt/longspan/
COPY --from=build /opt/longspan/licenses /opt/longspan/licenses
COPY --from=build /opt/longspan/bin/longspan-server /opt/longspan/bin/longspan /opt/longspan/bin/
ENV PATH=/opt/longspan/bin LONGSPAN_LISTEN=0.0.0.0:50051 LONGSPAN_HTTP=0.0.0.0:8080
USER 10001:10001
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
# The check follows LONGSPAN_LISTEN. Where --listen says otherwise, LONGSPAN_SERVER names what to
# check, and with TLS LONGSPAN_CA the authority.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["longspan", "health"]
ENTRYPOINT ["longspan-server"]
ARG VERSION=0.2.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="longspan" \
      org.opencontainers.image.description="gRPC service that turns long text into vectors with sparse attention" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The longspan authors"

FROM server AS cpu
COPY --from=build /opt/longspan/models /opt/longspan/models
ENV LONGSPAN_MODEL=/opt/longspan/models/all-MiniLM-L6-v2

# The plugin for cards, and the libraries of LibTorch's CUDA part that it needs.
FROM build AS gpu-build
ENV LONGSPAN_CMAKE_ARGS="-DLONGSPAN_BUILD_TESTS=OFF -DLONGSPAN_MAP_PATHS=ON -DLONGSPAN_CUDA_LIBRARIES=ON"
RUN ./dev build longspan_cuda && ./dev install /opt/cards cards
RUN LD_LIBRARY_PATH=/opt/cards/lib/torch/lib:/opt/longspan/lib/torch/lib \
    python3 deploy/image/assemble_root.py --on /rootfs /cards-rootfs /opt/cards/bin/liblongspan_cuda.so \
    && find /opt/cards /cards-rootfs -exec touch --no-dereference --date=@0 {} +

# The driver comes from the machine, through the NVIDIA container runtime.
FROM cpu AS gpu
COPY --from=gpu-build /cards-rootfs /
COPY --from=gpu-build /opt/cards/lib /opt/longspan/lib
COPY --from=gpu-build /opt/cards/licenses /opt/longspan/licenses
COPY --from=gpu-build /opt/cards/bin /opt/longspan/bin
ENV LD_LIBRARY_PATH=/opt/longspan/lib/torch/lib LONGSPAN_DEVICE=auto NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

# What is built where no target is named.
FROM cpu
