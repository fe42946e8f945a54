# syntax=docker/dockerfile:1

# Both by an exact tag. Tags can move: a release names digests instead, which docs/release.md tells how to find.
ARG RUST_IMAGE=rust:1.95.0-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# --- build: the Rust image carries the C compiler that aws-lc and SQLite are built with, and Python.
# bookworm is Debian 12, as is the base below: the binary meets the glibc that it was linked to.
FROM ${RUST_IMAGE} AS build
RUN cargo install cargo-cyclonedx --version 0.5.9 --locked
WORKDIR /build
COPY . .
# The same scripts build and list what the test suite runs without a container engine.
RUN deploy/build target \
    && deploy/sbom /sbom.cdx.json \
    && deploy/image-root target/release/tollgate policies /image-root /sbom.cdx.json

# --- final: glibc, libgcc, CA certificates and a user, no shell and no package manager.
FROM ${BASE_IMAGE}
# Owners and modes come along as the script set them: all of it root's, except the data folder.
COPY --from=build /image-root/ /

# Not root, by number too, so that Kubernetes' runAsNonRoot can see it.
USER 65532:65532

# Callers, and the admin port (health, readiness). What is listened on is said by the configuration.
EXPOSE 8080 9090

# Nothing is written outside of this folder, and to it only where the configuration says so:
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges …
VOLUME ["/var/lib/tollgate"]
WORKDIR /var/lib/tollgate

# By the binary itself: the image has no curl, and no shell that could run one.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/tollgate", "health"]

# No shell form: the process is PID 1 and gets SIGTERM itself, so that a stop drains.
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve", "--config", "/etc/tollgate/tollgate.yaml"]
