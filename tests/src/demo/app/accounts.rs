//! Who may log in. A real application asks its database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the application knows of a user beside the password.
#[derive(Debug)]
pub struct User {
    pub name: &'static str,
    pub scopes: &'static [&'static str],
    /// The code that is asked for after the password. A real one changes every 30 seconds.
    pub second_factor: Option<&'static str>,
    first_password: &'static str,
}

const USERS: [User; 3] = [
    User { name: "alice", scopes: &["read", "write"], second_factor: None, first_password: "wonderland" },
    User { name: "bob", scopes: &["read"], second_factor: None, first_password: "builder" },
    User { name: "carol", scopes: &["read"], second_factor: Some("123456"), first_password: "christmas" },
];

/// All users with their passwords; these can be changed until the application ends.
#[derive(Clone, Debug)]
pub struct Accounts {
    passwords: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl Accounts {
    pub fn new() -> Self {
        let passwords = USERS.iter().map(|user| (user.name, user.first_password.to_owned())).collect();
        Self { passwords: Arc::new(Mutex::new(passwords)) }
    }

    /// The user whose password that is.
    pub fn check(&self, name: &str, password: &str) -> Option<&'static User> {
        let user = Self::user(name)?;
        (self.passwords().get(user.name).map(String::as_str) == Some(password)).then_some(user)
    }

    pub fn change(&self, user: &User, password: String) {
        self.passwords().insert(user.name, password);
    }

    pub fn user(name: &str) -> Option<&'static User> {
        USERS.iter().find(|user| user.name == name)
    }

    fn passwords(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.passwords.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
