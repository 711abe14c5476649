# The service in a container: `docker build -t tasks-api .`; docs/operations/containers.md says more.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS packages
COPY requirements.txt /
RUN python3 -m venv /packages \
    && /packages/bin/python -m pip install --no-cache-dir --require-hashes --requirement /requirements.txt

FROM ${PYTHON}
ENV APP_ENV=production PATH=/packages/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=packages /packages /packages
WORKDIR /service
COPY LICENSE gunicorn.conf.py wsgi.py ./
COPY migrations migrations
COPY app app
RUN python3 -m compileall -q app migrations wsgi.py gunicorn.conf.py
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python3", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT', '8000')}/health\", timeout=2)"]
STOPSIGNAL SIGTERM
CMD ["gunicorn"]
