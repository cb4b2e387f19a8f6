//! How a measurement ends: its figures as JSON and in a few lines, and its program's exit code.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Writes figures into a file, whose folder is made if need be.
///
/// # Errors
/// Where it cannot be written.
pub fn write_json(file: &Path, figures: &impl Serialize) -> Result<()> {
    let folder = file.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let json = format!("{:#}\n", serde_json::to_value(figures)?);
    std::fs::write(file, json).with_context(|| file.display().to_string())
}

/// Figures of a measurement that can be wrong.
pub trait Figures: fmt::Display {
    /// What is not as it should be.
    fn mistakes(&self) -> Vec<String>;
}

/// Prints what a measurement has found out, and says how its program ends.
pub fn conclude<F: Figures>(program: &str, outcome: Result<F>) -> ExitCode {
    let mistakes = match outcome {
        Ok(figures) => {
            println!("{figures}");
            figures.mistakes()
        }
        Err(error) => {
            eprintln!("{program}: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for mistake in &mistakes {
        println!("WRONG: {mistake}");
    }
    if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
