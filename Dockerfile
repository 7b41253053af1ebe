# The container's image: `docker build -t casement .` or `podman build --format docker -t casement .` (the format of OCI
# itself has no health check). Its list of contents: `docker build --target sbom --output . .`
# The base is that of the build alone, whose packages the program's libraries are taken from; it may be named by its digest.
ARG BASE=debian:12-slim
FROM ${BASE} AS build
WORKDIR /casement
COPY tools/setup tools/
RUN tools/setup image
COPY . .
# Seconds since 1970 that every file in the image is dated with; one value, one image.
ARG SOURCE_DATE_EPOCH=0
RUN make -j"$(nproc)" image

FROM scratch AS sbom
COPY --from=build /casement/build/image/casement.spdx.json /

FROM scratch
COPY --from=build /casement/build/image/root/ /
LABEL org.opencontainers.image.title="Casement" \
      org.opencontainers.image.description="A virtual machine monitor that installs and runs Windows: one process, by /dev/kvm"
# So that `docker exec NAME casement ctl ...` finds it.
ENV PATH=/usr/bin
# 8006 is the page with its API, 3389 leads to Windows' Remote Desktop.
EXPOSE 8006/tcp 3389/tcp 3389/udp
VOLUME /storage
# It presses the power button; what Windows may take for it is TIMEOUT, and the engine's own patience has to be longer.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=30s --start-period=60s CMD ["/usr/bin/casement", "health"]
ENTRYPOINT ["/usr/bin/casement", "container"]
