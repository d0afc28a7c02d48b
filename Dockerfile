# Tributary's services: one image, a role a container: `serve SERVICE`, `work SERVICE`, `migrate`. The embedded servers are
# not in it: a deployment has its own PostgreSQL and Kafka. A bank's own build names its own base, by digest.
ARG PYTHON=python:3.13-slim-trixie

# The packages of the services alone, by version and hash: no development, no embedded servers, no pip.
FROM ${PYTHON} AS packages
COPY deploy/image/services.lock /
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --no-compile --only-binary :all: --no-deps \
       --require-hashes -r /services.lock \
    && python -m compileall -q /venv

# What the pages load and the rule sheets come from Maven; the downloader stays in this stage.
FROM ${PYTHON} AS pages
COPY deploy/image/pages.lock /
RUN pip install --no-cache-dir --no-compile --only-binary :all: --no-deps --require-hashes -r /pages.lock
WORKDIR /app
COPY jars.lock ./
COPY tributary/__init__.py ./tributary/
COPY tributary/embedded ./tributary/embedded
RUN python -m tributary.embedded.setup --pages

FROM ${PYTHON}
# No installer where nothing is installed.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
    && useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin tributary \
    && install -d -o tributary -g tributary -m 0700 /data /data/keys /data/registry
COPY --from=packages /venv /venv
COPY --from=pages /usr/local/share/tributary/assets /venv/share/tributary/assets
COPY --from=pages /usr/local/share/tributary/rules /venv/share/tributary/rules
WORKDIR /app
COPY policies ./policies
COPY shared ./shared
COPY services ./services
COPY tributary ./tributary
RUN python -m compileall -q /app
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TRIBUTARY_HOME=/data \
    TRIBUTARY_HOST=0.0.0.0 \
    TRIBUTARY_PORT=8000
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Whatever the role: every service that answers on this port is ready, and one does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s \
    CMD ["python", "-m", "tributary.healthy"]
ENTRYPOINT ["python", "-m", "tributary"]
CMD ["--help"]
