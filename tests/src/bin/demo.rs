//! The demo that `make run` and `make demo` start.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use session_gate_tests::Store;
use session_gate_tests::demo::{Demo, Ports, curl_lines, play};
use session_gate_tests::tools;
use tokio::signal::unix::{SignalKind, signal};

/// Session Gate's demo: sidecar, application and Envoy with the filter.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start it, show how to use it, and stop it on Ctrl-C.
    Run(RunOptions),
    /// Start it on free ports, play the story, check every answer, stop.
    Story {
        /// Where sessions are kept.
        #[arg(long, default_value = "memory")]
        store: StoreName,
    },
}

#[derive(Args)]
struct RunOptions {
    /// Where sessions are kept.
    #[arg(long, default_value = "memory")]
    store: StoreName,
    /// Port of the gate.
    #[arg(long, default_value_t = 10000)]
    port: u16,
    /// Port of the gate with TLS.
    #[arg(long, default_value_t = 10443)]
    tls_port: u16,
    /// Port of Envoy's admin interface.
    #[arg(long, default_value_t = 9901)]
    admin_port: u16,
    /// Port of the sidecar.
    #[arg(long, default_value_t = 8081)]
    sidecar_port: u16,
    /// Port of the application.
    #[arg(long, default_value_t = 8082)]
    app_port: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum StoreName {
    Memory,
    Redis,
}

impl From<StoreName> for Store {
    fn from(name: StoreName) -> Self {
        match name {
            StoreName::Memory => Self::Memory,
            StoreName::Redis => Self::Redis,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(options) => run(options).await.map(|()| true),
        Command::Story { store } => story(store.into()).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: RunOptions) -> Result<()> {
    let RunOptions { store, port: gate, tls_port: tls, admin_port: admin, sidecar_port: sidecar, app_port: app } =
        options;
    let dir = run_dir()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut demo = tokio::select! {
        demo = Demo::start(store.into(), Ports { gate, tls, admin, sidecar, app }, &dir) => demo?,
        // Whatever has been started ends with the unfinished start.
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    println!("session-gate ready\n\n{}\n\n{}", demo.addresses(), curl_lines(demo.address()));
    println!("Ctrl-C stops it.");
    tokio::select! {
        ended = demo.watch() => ended?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    eprintln!("stopping");
    demo.stop().await
}

async fn story(store: Store) -> Result<bool> {
    let dir = tempfile::Builder::new().prefix("session-gate-demo-").tempdir()?;
    let mut demo = Demo::start(store, Ports::default(), dir.path()).await?;
    let all_well = play(demo.gate()).await;
    demo.ensure_no_crash().await?;
    if !all_well {
        eprintln!("{}", demo.logs());
    }
    demo.stop().await?;
    println!("{}", if all_well { "the story went as it should" } else { "the story went wrong" });
    Ok(all_well)
}

/// The folder of `make run`, which keeps the signing key and the logs of the last run.
fn run_dir() -> Result<PathBuf> {
    let dir = tools::root().join(".run");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    for entry in std::fs::read_dir(&dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") || path.ends_with("envoy.admin") {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(dir)
}
