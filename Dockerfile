# The container's image: `docker build -t casement .` or `podman build --format docker -t casement .` (the format of OCI
# itself has no health check). Its list of contents: `docker build --target sbom --output . .`
# docs/image.md says what is in it, and how two builds give the same one.
# The base is that of the build alone, whose packages the program's libraries are taken from; it may be named by its digest.
ARG BASE=debian:12-slim
FROM ${BASE} AS build
# Lines of apt's sources.list that take the place of the base's own: an archive of Debian's packages as they were on one day.
ARG APT_SOURCES=
RUN [ -z "$APT_SOURCES" ] || { rm -f /etc/apt/sources.list.d/*; printf '%s\n' "$APT_SOURCES" >/etc/apt/sources.list; }
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
ARG VERSION=0.1.0
# Of the sources: the commit, and where they are.
ARG REVISION=
ARG SOURCE=
# The licence is that of the sources, and the strictest of the libraries that the program is linked with; all are in /usr/share/doc.
LABEL org.opencontainers.image.title="Casement" \
      org.opencontainers.image.description="A virtual machine monitor that installs and runs Windows: one process, by /dev/kvm" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.licenses="MIT AND GPL-2.0-only"
# So that `docker exec NAME casement ctl ...` finds it.
ENV PATH=/usr/bin
# 8006 is the page with its API, 3389 leads to Windows' Remote Desktop.
EXPOSE 8006/tcp 3389/tcp 3389/udp
VOLUME /storage
# It presses the power button; what Windows may take for it is TIMEOUT, and the engine's own patience has to be longer.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=30s --start-period=60s CMD ["/usr/bin/casement", "health"]
ENTRYPOINT ["/usr/bin/casement", "container"]
