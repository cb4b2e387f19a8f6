//! How the configuration is judged.

use std::{fs, ops::RangeInclusive, time::Duration};

use super::{
    problem::{Problem, Problems},
    sources::Origins,
};

/// Notes mistakes by the name that the user wrote.
pub(super) struct Judge<'a> {
    pub(super) origins: &'a Origins,
    pub(super) problems: &'a mut Problems,
}

impl Judge<'_> {
    /// Notes a mistake.
    pub(super) fn refuse(&mut self, path: &str, message: impl Into<String>) {
        self.problems.add(Problem::new(self.origins.name_of(path), message));
    }

    /// The number if it is in `allowed`, else the default.
    pub(super) fn number(&mut self, path: &str, given: Option<u64>, default: u64, allowed: RangeInclusive<u64>) -> u64 {
        match given {
            Some(number) if !allowed.contains(&number) => {
                self.refuse(path, format!("is {number}; allowed: {} to {}", allowed.start(), allowed.end()));
                default
            }
            given => given.unwrap_or(default),
        }
    }

    /// A text that comes from a setting or, for secrets, from the file that a sibling setting names.
    pub(super) fn text_or_file(&mut self, path: &str, text: Option<String>, file: Option<String>) -> Option<String> {
        let file_path = format!("{path}_file");
        match (text, file) {
            (Some(_), Some(_)) => {
                let other = self.origins.name_of(path);
                self.refuse(&file_path, format!("is given beside {other}; set only one of them"));
                None
            }
            (text, None) => text,
            (None, Some(file)) => match fs::read_to_string(&file) {
                Ok(text) if text.trim().is_empty() => {
                    self.refuse(&file_path, format!("names {file:?}, which is empty"));
                    None
                }
                Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    self.refuse(&file_path, format!("names {file:?}, which cannot be read: {}", error.kind()));
                    None
                }
            },
        }
    }
}

pub(super) const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours.saturating_mul(3600))
}

pub(super) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}
