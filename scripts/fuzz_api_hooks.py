"""What the description of the API cannot say to the fuzzer of scripts/fuzz-api.sh."""

import schemathesis
from hypothesis import strategies as st

# The formats that the description names beside those of JSON Schema.
addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
networks = st.one_of(
    addresses,
    st.tuples(st.ip_addresses(v=4), st.integers(8, 32)).map(lambda parts: f"{parts[0]}/{parts[1]}"),
    st.tuples(st.ip_addresses(v=6), st.integers(16, 128)).map(lambda parts: f"{parts[0]}/{parts[1]}"),
)
schemathesis.openapi.format("ip-address", addresses)
schemathesis.openapi.format("ip-network", networks)


@schemathesis.hook
def filter_body(context, body):
    """No two asks of one request are for one counter, which a schema cannot say."""
    if not isinstance(body, dict) or not isinstance(body.get("asks"), list):
        return True
    counters = [str(ask.get("counter")) for ask in body["asks"] if isinstance(ask, dict)]
    return len(counters) == len(set(counters))
