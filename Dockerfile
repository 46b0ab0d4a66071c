# One image for all services of postcall; the command names the service: docker run postcall:local ingest

FROM python:3.12-slim-trixie AS build
# For processors that a dependency has no wheel for (faust-streaming on arm64).
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/postcall
WORKDIR /build
# The dependencies first: a change of our code does not install them again.
COPY pyproject.toml constraints.txt ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > wanted.txt \
    && python -m pip --python /opt/postcall/bin/python install --constraint constraints.txt --requirement wanted.txt
COPY README.md LICENSE ./
COPY postcall postcall
COPY broker broker
COPY ingest ingest
COPY streams streams
COPY projections projections
RUN python -m pip --python /opt/postcall/bin/python install --no-deps .

FROM python:3.12-slim-trixie
LABEL org.opencontainers.image.title="postcall" \
      org.opencontainers.image.description="The post-call data platform for voice agents" \
      org.opencontainers.image.licenses="Apache-2.0"
# The owner of the data; a named volume takes it over from the folder when it is made. Nothing is installed here any more.
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/postcall postcall \
    && install --directory --owner=postcall --group=postcall --mode=0700 /var/lib/postcall \
    && install --directory /etc/postcall \
    && python -m pip uninstall --yes --root-user-action=ignore pip
COPY --from=build /opt/postcall /opt/postcall
ENV PATH=/opt/postcall/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 POSTCALL_DATA_DIR=/var/lib/postcall
# A postcall.toml mounted here is read.
WORKDIR /etc/postcall
USER 10001
# No VOLUME: a container whose data nobody mounted should not seem to keep it.
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
ENTRYPOINT ["postcall"]
CMD ["--help"]
