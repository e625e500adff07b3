# Heddle's images. What is in them is laid out by scripts/image.ts, which also makes the same images without Docker (`npm run image`);
# a test holds what is said here to scripts/image/contents.ts. No shell, no package manager; a read-only root file system will do.
#   docker build --target proxy -t heddle/proxy:0.1.0 .
#   docker build --target control-plane -t heddle/control-plane:0.1.0 .
#   docker build --target init -t heddle/init:0.1.0 .
# NODE_IMAGE must be a Debian with npm: its C library goes into the images, Node itself is the one that package-lock.json pins.
ARG NODE_IMAGE=node:26-slim

FROM ${NODE_IMAGE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends iptables libatomic1 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run image -- --layout /images

FROM scratch AS proxy
COPY --from=build /images/proxy/ /
WORKDIR /heddle
USER 1337:1337
ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin:/nodejs/bin MALLOC_ARENA_MAX=1
EXPOSE 15001 15006 15020
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nodejs/bin/node", "/heddle/heddle-proxy.mjs"]
CMD ["-c", "/etc/heddle/bootstrap.yaml"]

FROM scratch AS control-plane
COPY --from=build /images/control-plane/ /
WORKDIR /heddle
USER 65532:65532
ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin:/nodejs/bin
EXPOSE 15012 15014 15017
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nodejs/bin/node", "/heddle/heddle-control-plane.mjs"]
CMD ["--config", "/etc/heddle/mesh", "--state", "/var/lib/heddle", "--secure-address", "0.0.0.0:15012", "--metrics-address", "0.0.0.0:15014"]

FROM scratch AS init
COPY --from=build /images/init/ /
WORKDIR /heddle
USER 0:0
ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin:/nodejs/bin
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nodejs/bin/node", "/heddle/heddle-init.mjs"]
CMD ["redirect"]
