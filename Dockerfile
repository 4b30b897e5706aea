
# docker build -t confluence .
# docker run -p 8080:8080 -p 42069:42069 -p 42069:42069/udp \
#     -v confluence:/var/cache/confluence confluence

FROM debian:12 AS builder

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        nginx nginx-dev g++ make pkg-config libtorrent-rasterbar-dev libjansson-dev libsqlite3-dev libcurl4-openssl-dev libwslay-dev libssl-dev uthash-dev

COPY . /src

RUN make -j"$(nproc)" -C /src \
    && make -C /src install DESTDIR=/dest


FROM debian:12-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        nginx libtorrent-rasterbar2.0 libjansson4 libsqlite3-0 libwslay1 libcurl4 \
        ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o www-data -g www-data /var/cache/confluence

COPY --from=builder /dest/ /
COPY conf/docker.conf /etc/nginx/nginx.conf
COPY conf/mime.types /etc/nginx/confluence.types

EXPOSE 8080 42069/tcp 42069/udp
VOLUME /var/cache/confluence
STOPSIGNAL SIGQUIT

CMD ["nginx", "-e", "stderr", "-g", "daemon off;"]
