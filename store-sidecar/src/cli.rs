//! The command line: flags for every setting, and what else the program can do.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser, value_parser};

use crate::{
    config::settings::{self, Kind},
    keys::Algorithm,
    lockout_command::{CREDENTIAL_VARIABLE, LockoutAction, LockoutCommand},
};

/// What the program was asked to do.
#[derive(Debug)]
pub enum Action {
    /// Judge the configuration and say so.
    CheckConfig(Invocation),
    /// Judge a configuration of the filter's.
    CheckFilter {
        /// The file that it stands in.
        file: PathBuf,
    },
    /// Print the JSON Schema of the filter's configuration.
    FilterSchema,
    /// Make a key file.
    GenerateKey {
        /// What the key is for.
        algorithm: Algorithm,
        /// The file.
        file: PathBuf,
    },
    /// Ask a running sidecar about the lock of an account.
    Lockout(LockoutCommand),
    /// Print the OpenAPI description of the REST API.
    OpenApi,
    /// Serve.
    Serve(Invocation),
}

/// Where the configuration comes from, as the command line says.
#[derive(Clone, Default)]
pub struct Invocation {
    /// The configuration file.
    pub config_file: Option<PathBuf>,
    /// Flags for settings, by name.
    pub flags: BTreeMap<&'static str, String>,
}

impl std::fmt::Debug for Invocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        let Self { config_file, flags } = self;
        f.debug_struct("Invocation")
            .field("config_file", config_file)
            .field("flags", &flags.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// The command line's description.
pub fn command() -> Command {
    let settings = settings::all().map(|setting| {
        let help = format!("{} [{}; default: {}]", setting.help, setting.env, setting.default);
        let value = match setting.kind {
            Kind::Bool => "true|false",
            Kind::Integer => "NUMBER",
            Kind::Section => "JSON",
            Kind::List => "A,B…",
            Kind::Secret => "SECRET",
            Kind::SecretList => "SECRET,SECRET…",
            Kind::Text => "TEXT",
        };
        Arg::new(setting.flag).long(setting.flag).value_name(value).help(help).allow_hyphen_values(true)
    });
    Command::new("store-sidecar")
        .about("Session Gate's sidecar: sessions, tokens and revocations behind a REST API")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand(keygen())
        .subcommand(filter())
        .subcommand(lockout())
        .subcommand(Command::new("openapi").about("Prints the OpenAPI description of the REST API"))
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Configuration file, YAML; the environment and flags override it"),
        )
        .arg(
            Arg::new("check-config")
                .long("check-config")
                .action(ArgAction::SetTrue)
                .help("Judge the configuration, say what is wrong with it, and exit"),
        )
        .args(settings)
}

fn keygen() -> Command {
    Command::new("keygen")
        .about("Makes a private key in a PEM file that only its owner can read; never replaces one")
        .arg(
            Arg::new("algorithm")
                .long("algorithm")
                .value_name("ALGORITHM")
                .default_value("ES256")
                .value_parser(PossibleValuesParser::new(["ES256", "ES384", "EdDSA"]))
                .help("What the key is for"),
        )
        .arg(Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf)))
}

fn filter() -> Command {
    let file = Arg::new("file").value_name("FILE").required(true).value_parser(value_parser!(PathBuf));
    Command::new("filter")
        .about("Looks at the filter's configuration, without an Envoy")
        .subcommand_required(true)
        .subcommand(
            Command::new("check")
                .about(
                    "Says what is wrong in a configuration of the filter, alone, in Envoy's, or in Istio's resources, \
                     and with the settings around it that the protection rests on",
                )
                .arg(file),
        )
        .subcommand(Command::new("schema").about("Prints its JSON Schema"))
}

fn lockout() -> Command {
    let account = Arg::new("account")
        .value_name("ACCOUNT")
        .required(true)
        .help("The user's id; of an account that does not exist what was typed");
    let url = Arg::new("url")
        .long("url")
        .value_name("URL")
        .default_value("http://127.0.0.1:8081")
        .help("Where the sidecar listens");
    let credential = Arg::new("credential-file")
        .long("credential-file")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(format!(
            "The file with a credential of its role `app`, where it asks for one; or set {CREDENTIAL_VARIABLE}"
        ));
    let with = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).args([account.clone(), url.clone(), credential.clone()])
    };
    Command::new("lockout")
        .about("Asks a running sidecar about accounts whose logins are refused after too many have failed")
        .subcommand_required(true)
        .subcommand(with("show", "Says whether an account is locked, until when, and how many failed logins count"))
        .subcommand(with("unlock", "Lifts the lock of an account at once, everywhere, and forgets its failed logins"))
}

fn lockout_command(matches: &ArgMatches) -> Option<LockoutCommand> {
    let (name, matches) = matches.subcommand()?;
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    Some(LockoutCommand {
        action: if name == "unlock" { LockoutAction::Unlock } else { LockoutAction::Show },
        account: text("account"),
        url: text("url"),
        credential_file: matches.get_one::<PathBuf>("credential-file").cloned(),
    })
}

/// Reads the command line.
///
/// # Errors
/// What clap says, help and version included.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Action, clap::Error> {
    let mut matches = command().try_get_matches_from(args)?;
    if let Some(("keygen", keygen)) = matches.subcommand() {
        let name = keygen.get_one::<String>("algorithm").map_or("ES256", String::as_str);
        let algorithm = Algorithm::from_name(name).unwrap_or(Algorithm::Es256);
        let file = keygen.get_one::<PathBuf>("file").cloned().unwrap_or_default();
        return Ok(Action::GenerateKey { algorithm, file });
    }
    if let Some(("filter", filter)) = matches.subcommand() {
        return Ok(match filter.subcommand() {
            Some(("check", check)) => {
                Action::CheckFilter { file: check.get_one::<PathBuf>("file").cloned().unwrap_or_default() }
            }
            _ => Action::FilterSchema,
        });
    }
    if let Some(command) = matches.subcommand_matches("lockout").and_then(lockout_command) {
        return Ok(Action::Lockout(command));
    }
    if matches.subcommand_matches("openapi").is_some() {
        return Ok(Action::OpenApi);
    }
    let check = matches.get_flag("check-config");
    let invocation = invocation(&mut matches);
    Ok(if check { Action::CheckConfig(invocation) } else { Action::Serve(invocation) })
}

fn invocation(matches: &mut ArgMatches) -> Invocation {
    let config_file = matches.remove_one::<PathBuf>("config");
    let flags = settings::all()
        .filter_map(|setting| matches.remove_one::<String>(setting.flag).map(|text| (setting.flag, text)))
        .collect();
    Invocation { config_file, flags }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn args(line: &str) -> impl Iterator<Item = OsString> {
        std::iter::once("store-sidecar").chain(line.split_whitespace()).map(OsString::from)
    }

    #[test]
    fn the_description_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn flags_are_read_by_name() {
        let Action::Serve(invocation) = parse(args("--listen 127.0.0.1:0 --config a.yaml")).unwrap() else {
            panic!("serves")
        };
        assert_eq!(invocation.flags["listen"], "127.0.0.1:0");
        assert_eq!(invocation.config_file, Some(PathBuf::from("a.yaml")));
        assert!(matches!(parse(args("--check-config")), Ok(Action::CheckConfig(_))));
        assert!(parse(args("--lisen 127.0.0.1:0")).is_err());
    }

    #[test]
    fn the_filters_configuration_can_be_looked_at() {
        let check = parse(args("filter check envoy.yaml")).unwrap();
        assert!(matches!(check, Action::CheckFilter { file } if file == Path::new("envoy.yaml")));
        assert!(matches!(parse(args("filter schema")), Ok(Action::FilterSchema)));
        assert!(parse(args("filter")).is_err() && parse(args("filter check")).is_err());
    }

    #[test]
    fn a_lock_can_be_looked_at_and_lifted() {
        let Ok(Action::Lockout(command)) = parse(args("lockout unlock alice --credential-file c --url http://h:1"))
        else {
            panic!("it asks about a lock")
        };
        assert_eq!((command.action, command.account.as_str()), (LockoutAction::Unlock, "alice"));
        assert_eq!((command.url.as_str(), command.credential_file), ("http://h:1", Some(PathBuf::from("c"))));
        let show = parse(args("lockout show alice"));
        assert!(matches!(show, Ok(Action::Lockout(LockoutCommand { action: LockoutAction::Show, .. }))));
        assert!(parse(args("lockout")).is_err() && parse(args("lockout unlock")).is_err());
    }

    #[test]
    fn debug_output_lacks_the_values_of_flags() {
        let action = parse(args("--jwt-secret hunter2-hunter2")).unwrap();
        assert!(!format!("{action:?}").contains("hunter2"));
    }

    #[test]
    fn keygen_makes_what_can_be_made_here() {
        let made = parse(args("keygen --algorithm EdDSA key.pem")).unwrap();
        assert!(matches!(made, Action::GenerateKey { algorithm: Algorithm::EdDsa, .. }));
        assert!(parse(args("keygen --algorithm RS256 key.pem")).is_err());
        assert!(parse(args("keygen")).is_err());
    }
}
