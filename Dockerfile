
# docker build -t confluence .
# docker run -p 8080:8080 -p 42069:42069 -p 42069:42069/udp \
#     -v confluence:/var/cache/confluence confluence

FROM debian:12 AS builder

COPY tools/packages tools/install-packages /src/tools/

RUN /src/tools/install-packages build

COPY . /src

RUN make -j"$(nproc)" -C /src \
    && make -C /src install DESTDIR=/dest


FROM debian:12-slim

COPY tools/packages tools/install-packages /tmp/

RUN /tmp/install-packages image \
    && rm -rf /var/lib/apt/lists/* /tmp/* \
    && install -d -o www-data -g www-data /var/cache/confluence

COPY --from=builder /dest/ /
COPY conf/docker.conf /etc/nginx/nginx.conf
COPY conf/mime.types /etc/nginx/confluence.types

EXPOSE 8080 42069/tcp 42069/udp
VOLUME /var/cache/confluence
STOPSIGNAL SIGQUIT

CMD ["nginx", "-e", "stderr", "-g", "daemon off;"]
