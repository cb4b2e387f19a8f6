//! The program: reads what it was asked, does it, and says what went wrong.

use std::{env, io::Write as _, path::Path, process::ExitCode};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use store_sidecar::{
    cli::{self, Action, Invocation},
    config::{Config, Problem, Problems, SourceFile, Sources, settings},
    filter_config, http,
    keys::{Generated, generate},
    lockout_command::{CREDENTIAL_VARIABLE, LockoutCommand},
    logging,
    rng::OsRandom,
    serve::{Exchange, Server, Stop},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

fn main() -> ExitCode {
    match cli::parse(env::args_os()) {
        Ok(Action::CheckConfig(invocation)) => check_config(&invocation),
        Ok(Action::GenerateKey { algorithm, file }) => match generate(&file, algorithm, &OsRandom) {
            Ok(Generated::Made) => ExitCode::SUCCESS,
            Ok(Generated::Existed) => fail([format!("{} exists already", file.display())]),
            Err(error) => fail([error.to_string()]),
        },
        Ok(Action::CheckFilter { file }) => check_filter(&file),
        Ok(Action::FilterSchema) => {
            say(&filter_config::schema());
            ExitCode::SUCCESS
        }
        Ok(Action::Lockout(command)) => lockout(&command),
        Ok(Action::OpenApi) => {
            say(&http::openapi());
            ExitCode::SUCCESS
        }
        Ok(Action::Serve(invocation)) => serve(&invocation),
        Err(error) => {
            // Help and version are errors to clap, but not to the caller.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            drop(error.print());
            ExitCode::from(code)
        }
    }
}

fn check_config(invocation: &Invocation) -> ExitCode {
    match load(invocation) {
        Ok(_) => {
            say("the configuration is good\n");
            ExitCode::SUCCESS
        }
        Err(problems) => fail(problems.iter().map(Problem::to_string)),
    }
}

fn check_filter(file: &Path) -> ExitCode {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => return fail([format!("{}: {error}", file.display())]),
    };
    let report = filter_config::check(&text);
    complain(report.findings.iter().map(|finding| format!("{}: {finding}", file.display())));
    if !report.is_good() {
        return ExitCode::FAILURE;
    }
    say(&format!("{}: {} configuration(s) of the filter, good\n", file.display(), report.configurations));
    ExitCode::SUCCESS
}

fn lockout(command: &LockoutCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail([format!("the runtime cannot start: {error}")]),
    };
    match runtime.block_on(command.run(env::var(CREDENTIAL_VARIABLE).ok())) {
        Ok(said) => {
            say(&said);
            ExitCode::SUCCESS
        }
        Err(problem) => fail([problem]),
    }
}

/// To standard output; whoever closes that does not want to read on.
fn say(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

fn serve(invocation: &Invocation) -> ExitCode {
    let config = match load(invocation) {
        Ok(config) => config,
        Err(problems) => return fail(problems.iter().map(Problem::to_string)),
    };
    logging::init(&config.monitoring);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail([format!("the runtime cannot start: {error}")]),
    };
    raise_descriptor_limit();
    runtime.block_on(async {
        let signals = signal(SignalKind::hangup())
            .and_then(|hangup| Ok((hangup, signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)));
        let (hangup, mut terminate, mut interrupt) = match signals {
            Ok(signals) => signals,
            Err(error) => return fail([format!("signals cannot be received: {error}")]),
        };
        let server = match Server::start(config).await {
            Ok(server) => server,
            Err(error) => return fail([logging::chain(&error)]),
        };
        let exchange = server.exchange();
        let reload = async move { reload(hangup, invocation, &exchange).await };
        let (stop, stopped) = watch::channel(Stop::GoOn);
        let listen = async move {
            loop {
                let next = tokio::select! {
                    _ = terminate.recv() => if *stop.borrow() == Stop::GoOn { Stop::Gradually } else { Stop::Drain },
                    _ = interrupt.recv() => Stop::Drain,
                };
                stop.send_replace(next);
            }
        };
        tokio::select! {
            ended = server.run(stopped) => match ended {
                Ok(()) => ExitCode::SUCCESS,
                Err(failed) => fail([failed.to_string()]),
            },
            () = reload => ExitCode::FAILURE,
            () = listen => ExitCode::FAILURE,
        }
    })
}

/// Each connection takes a descriptor, and there is one for each worker of each Envoy: far more than the soft limit that
/// many systems set for programs that cannot have more.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of file descriptors stays as it is");
    }
}

/// On each SIGHUP reads the configuration anew and takes over its keys and credentials; if anything is wrong with it,
/// all stays as it is. Everything else needs a restart.
async fn reload(mut hangup: Signal, invocation: &Invocation, exchange: &Exchange) {
    while hangup.recv().await.is_some() {
        match load(invocation) {
            Ok(config) => take_over(config, exchange),
            Err(problems) => {
                for problem in problems.iter() {
                    tracing::error!(%problem, "keys and credentials stay as they are");
                }
            }
        }
    }
    std::future::pending().await
}

fn take_over(config: Config, exchange: &Exchange) {
    match config.tokens.keys.load(&OsRandom) {
        Ok(ring) => {
            tracing::info!(signing = %ring.signing().id(), "keys read anew");
            exchange.replace_keys(ring);
        }
        Err(problems) => {
            for problem in problems {
                tracing::error!(problem = %problem.problem, "keys and credentials stay as they are");
            }
            return;
        }
    }
    if exchange.replace_credentials(config.credentials) {
        tracing::info!("credentials read anew");
    } else {
        tracing::error!("credentials stay as they are: there are none any more");
    }
}

fn load(invocation: &Invocation) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    let file = invocation.config_file.as_deref().and_then(|path| noted(read(path), &mut problems));
    let env = env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let not_utf8 = |_| Problem::new(name.clone(), "is not UTF-8");
        let known = settings::all().any(|setting| setting.env == name);
        match value.into_string().map_err(not_utf8) {
            Ok(value) => Some((name, value)),
            Err(problem) if known => noted(Err(problem), &mut problems),
            Err(_) => None,
        }
    });
    let sources = Sources { flags: invocation.flags.clone(), env: env.collect(), file };
    match Config::load(&sources) {
        Ok(config) if problems.is_empty() => Ok(config),
        Ok(_) => Err(problems),
        Err(others) => {
            others.iter().for_each(|problem| problems.add(problem.clone()));
            Err(problems)
        }
    }
}

fn noted<T>(result: Result<T, Problem>, problems: &mut Problems) -> Option<T> {
    result.map_err(|problem| problems.add(problem)).ok()
}

fn read(path: &Path) -> Result<SourceFile, Problem> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(SourceFile { name, text }),
        Err(error) => Err(Problem::new("--config", format!("names {name:?}, which cannot be read: {}", error.kind()))),
    }
}

fn fail(problems: impl IntoIterator<Item = String>) -> ExitCode {
    complain(problems);
    ExitCode::FAILURE
}

/// One line per problem on standard error.
fn complain(problems: impl IntoIterator<Item = String>) {
    let mut stderr = std::io::stderr().lock();
    for problem in problems {
        drop(writeln!(stderr, "store-sidecar: {}", problem.replace(['\n', '\r'], " ")));
    }
}
