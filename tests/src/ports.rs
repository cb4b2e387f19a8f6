//! Ports for programs that cannot tell which free port they took.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// Below the range from which Linux and macOS take the ports of outgoing connections, so that a port
/// stays free while its program restarts.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that was free a moment ago, and that this process has not been given before. Another
/// process may still be faster: whoever starts a program on it tries another one then.
///
/// # Errors
/// Where no port is free.
pub fn free_port() -> Result<u16> {
    // Test processes that run at the same time start at different places.
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let offset = u16::try_from(start.wrapping_add(step) % u32::from(COUNT))?;
        let port = FIRST + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("none of the ports {FIRST} to {} is free", FIRST + COUNT - 1)
}
