# A collector of spans, Rotel, out of its wheel. It is linked with Python's library, which this image has.
FROM python:3.11-slim
RUN python3 -m pip install --no-cache-dir rotel==0.0.1a15 \
 && ln -s "$(python3 -c 'import importlib.util as u; print(u.find_spec("rotel").submodule_search_locations[0])')/rotel-agent" \
    /usr/local/bin/rotel
USER 65532:65532
ENTRYPOINT ["rotel"]
