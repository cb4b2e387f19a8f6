//! The demo in a real Chromium, through a real Envoy with TLS, a real sidecar and a real Redis: what a browser makes of
//! the gate's answers. `make test` runs these where there is a Chromium; `make test-browser` runs them alone.

mod browser;
mod frames;
mod guessing;
mod login;
mod logout;
mod other_sites;
mod outage;
mod renewal;
mod scene;
