//! The configurations in the documentation are ones that the sidecar takes.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use session_gate_tests::{documents, tools};

/// What the documents' secrets are read from.
fn write_secrets(dir: &Path) -> Result<()> {
    for name in ["app", "filter", "admin", "monitor"] {
        std::fs::write(
            dir.join(format!("{name}-credentials")),
            format!("a-credential-of-the-{name}-role-0123456789\n"),
        )?;
    }
    std::fs::write(dir.join("redis-password"), "password\n")?;
    let keygen = std::process::Command::new(tools::sidecar()?).arg("keygen").arg(dir.join("key.pem")).output()?;
    ensure!(keygen.status.success(), "{}", String::from_utf8_lossy(&keygen.stderr));
    Ok(())
}

#[test]
fn every_yaml_block_of_the_documentation_is_a_configuration_that_is_taken() -> Result<()> {
    let dir = tempfile::tempdir()?;
    write_secrets(dir.path())?;
    let secrets = dir.path().to_str().context("a path that is text")?;
    let mut checked = 0;
    let mut documents: Vec<_> = std::fs::read_dir(tools::root().join("docs"))?.collect::<Result<_, _>>()?;
    documents.sort_by_key(std::fs::DirEntry::path);
    for document in documents {
        let path = document.path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        for block in documents::blocks(&std::fs::read_to_string(&path)?, "yaml") {
            let file = dir.path().join("sidecar.yaml");
            std::fs::write(&file, block.replace("/run/secrets", secrets))?;
            let mut command = std::process::Command::new(tools::sidecar()?);
            command.arg("--check-config").arg("--config").arg(&file).env_clear();
            if !block.contains("key_files") {
                // Where a document leaves the key to the environment.
                command.env("JWT_SECRET", "a-secret-of-32-characters-or-more");
            }
            let check = command.output()?;
            let said = String::from_utf8_lossy(&check.stderr);
            ensure!(check.status.success(), "{}: {said}\n{block}", path.display());
            checked += 1;
        }
    }
    ensure!(checked > 0, "no block was found");
    Ok(())
}
