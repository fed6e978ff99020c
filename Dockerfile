# callgate in a container: not root, happy with a read-only root, its data in /var/lib/callgate.
#
#   docker build -t callgate .
#   docker run --read-only --network host -v ./config:/etc/callgate:ro -v callgate:/var/lib/callgate callgate
#
# Host network, since an Asterisk's manager belongs on loopback. What of this file was tried, and how, is told at
# the top of tests/image/check.py, the check behind `make image-check`.

ARG BASE=debian:trixie-slim

FROM ${BASE} AS python
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin

FROM python AS builder
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements/runtime.txt requirements/build.txt requirements/
# A build secret named pip may hold a pip.conf (index, proxy, certificate); no layer keeps it.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv /opt/build \
 && python3 -m venv --without-pip /opt/callgate \
 && /opt/build/bin/pip --no-cache-dir install --require-hashes --only-binary :all: -r requirements/build.txt \
 && /opt/build/bin/pip --no-cache-dir --python /opt/callgate/bin/python install \
        --require-hashes --only-binary :all: -r requirements/runtime.txt \
 # Notices are in English and French: the other 30 MB of languages stay out.
 && find /opt/callgate/lib -path '*/babel/locale-data/*' -name '*.dat' \
        ! -name 'root.dat' ! -name 'en*.dat' ! -name 'fr*.dat' -delete
# The code comes last, and from here on nothing is fetched. No config: the checkout it stands in may hold secrets.
COPY pyproject.toml hatch_build.py README.md ./
COPY rating rating
COPY gateway gateway
RUN /opt/build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/pip --python /opt/callgate/bin/python install --no-index --no-deps /dist/callgate-*.whl

FROM python
LABEL org.opencontainers.image.title="callgate" \
      org.opencontainers.image.description="Prepaid call authorization gateway for Asterisk"
RUN groupadd --system --gid 10001 callgate \
 && useradd --system --uid 10001 --gid callgate --home-dir /var/lib/callgate --shell /usr/sbin/nologin callgate \
 && install -d -o callgate -g callgate -m 0750 /var/lib/callgate \
 && install -d -m 0755 /etc/callgate \
 # The config's default place for embedded books, journal and unsettled calls, ../.callgate, is the volume.
 && ln -s /var/lib/callgate /etc/.callgate
COPY --from=builder /opt/callgate /opt/callgate
ENV PATH=/opt/callgate/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CALLGATE_CONFIG=/etc/callgate \
    CALLGATE_LIVEZ=http://127.0.0.1:9464/livez
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /var/lib/callgate
VOLUME /var/lib/callgate
EXPOSE 9464
STOPSIGNAL SIGTERM
# urllib raises, and so Python exits with 1, on a refusal, a time-out and any status but 2xx. No proxy is asked.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/opt/callgate/bin/python", "-I", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(os.environ['CALLGATE_LIVEZ'], timeout=2)"]
ENTRYPOINT ["callgate"]
CMD ["serve"]
