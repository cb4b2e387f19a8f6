//! Who may call what: a bearer credential belongs to a role, and a role may do what its work needs.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// Sessions, tokens, login, logout, the policy, revocations and workers.
    App,
    /// Check, keys, the feed and activity.
    Filter,
    /// Metrics and workers.
    Monitor,
}

impl Role {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::App => "app",
            Self::Filter => "filter",
            Self::Monitor => "monitor",
        }
    }
}

/// The credentials of each role, as their SHA-256: several per role, so that they can be exchanged
/// with overlap.
#[derive(Clone, Default)]
pub struct Credentials(Vec<(Role, [u8; 32])>);

/// The credentials in use now; exchanged as a whole when they are read anew.
#[derive(Debug)]
pub struct CurrentCredentials(RwLock<Arc<Credentials>>);

/// What a request with a certain credential, or with none, may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The credential belongs to a role that may do it, or it needs none.
    Granted,
    /// The credential is missing or unknown.
    NotAuthenticated,
    /// The credential belongs to a role that may not do it.
    NotPermitted,
}

impl Credentials {
    /// Adds a credential.
    ///
    /// # Errors
    /// The role that has the same one already: a credential says what its holder may do, so it can't
    /// belong to two.
    pub fn add(&mut self, role: Role, credential: &str) -> Result<(), Role> {
        let digest = digest(credential);
        match self.0.iter().find(|(_, known)| *known == digest) {
            Some((other, _)) if *other != role => Err(*other),
            Some(_) => Ok(()),
            None => {
                self.0.push((role, digest));
                Ok(())
            }
        }
    }

    /// Whether everybody may do everything but read metrics that have credentials of their own: no
    /// other credential is configured. Only for a service that nobody else can reach.
    pub fn is_open(&self) -> bool {
        !self.0.iter().any(|(role, _)| *role != Role::Monitor)
    }

    /// Whether a request with that credential may do what each of the roles `allowed` may do.
    pub fn access(&self, allowed: &[Role], credential: Option<&str>) -> Access {
        // Metrics carry no names and no ids: open unless somebody closed them.
        let open = match allowed {
            [Role::Monitor] => !self.0.iter().any(|(role, _)| *role == Role::Monitor),
            _ => self.is_open(),
        };
        if open {
            return Access::Granted;
        }
        let Some(digest) = credential.map(digest) else { return Access::NotAuthenticated };
        // All are compared, each in constant time: how long it takes says nothing of what fits.
        let (mut known, mut granted) = (Choice::from(0), Choice::from(0));
        for (role, one) in &self.0 {
            let same = one.ct_eq(&digest);
            known |= same;
            granted |= same & Choice::from(u8::from(allowed.contains(role) || *role == Role::Admin));
        }
        match (bool::from(granted), bool::from(known)) {
            (true, _) => Access::Granted,
            (false, true) => Access::NotPermitted,
            (false, false) => Access::NotAuthenticated,
        }
    }
}

impl CurrentCredentials {
    /// Starts with these.
    pub fn new(credentials: Credentials) -> Self {
        Self(RwLock::new(Arc::new(credentials)))
    }

    /// Those in use now.
    pub fn get(&self) -> Arc<Credentials> {
        // They are exchanged as a whole: never half done.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these are in use. Answers whether they are: none at all never take the place of some, since others
    /// than this machine may reach the service.
    pub fn replace(&self, credentials: Credentials) -> bool {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if credentials.is_open() && !current.is_open() {
            return false;
        }
        *current = Arc::new(credentials);
        true
    }
}

fn digest(credential: &str) -> [u8; 32] {
    Sha256::digest(credential).into()
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(role, _)| role)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "app-credential-0123456789abcdef012";
    const FILTER: &str = "filter-credential-0123456789abcdef";
    const ADMIN: &str = "admin-credential-0123456789abcdef0";

    fn credentials() -> Credentials {
        let mut credentials = Credentials::default();
        for (role, credential) in [(Role::App, APP), (Role::Filter, FILTER), (Role::Admin, ADMIN)] {
            credentials.add(role, credential).unwrap();
        }
        credentials
    }

    #[test]
    fn each_role_may_do_its_own_and_admin_everything() {
        let credentials = credentials();
        assert_eq!(credentials.access(&[Role::App], Some(APP)), Access::Granted);
        assert_eq!(credentials.access(&[Role::App], Some(FILTER)), Access::NotPermitted);
        assert_eq!(credentials.access(&[Role::Filter], Some(FILTER)), Access::Granted);
        assert_eq!(credentials.access(&[Role::Filter], Some(APP)), Access::NotPermitted);
        for role in [Role::App, Role::Filter, Role::Admin] {
            assert_eq!(credentials.access(&[role], Some(ADMIN)), Access::Granted);
            assert_eq!(credentials.access(&[role], Some("other")), Access::NotAuthenticated);
            assert_eq!(credentials.access(&[role], None), Access::NotAuthenticated);
        }
    }

    #[test]
    fn without_any_everything_is_open_and_metrics_until_they_have_one() {
        let mut open = Credentials::default();
        assert_eq!(open.access(&[Role::Admin], None), Access::Granted);
        assert_eq!(credentials().access(&[Role::Monitor], None), Access::Granted);
        open.add(Role::Monitor, APP).unwrap();
        assert_eq!(open.access(&[Role::Monitor], None), Access::NotAuthenticated);
        assert_eq!(open.access(&[Role::Monitor], Some(APP)), Access::Granted);
        assert_eq!(open.access(&[Role::App], None), Access::Granted);
    }

    #[test]
    fn no_credential_belongs_to_two_roles() {
        let mut credentials = credentials();
        assert_eq!(credentials.add(Role::Filter, APP), Err(Role::App));
        assert_eq!(credentials.add(Role::App, APP), Ok(()));
    }

    #[test]
    fn others_take_their_place_and_none_never_do() {
        let current = CurrentCredentials::new(credentials());
        let mut next = Credentials::default();
        next.add(Role::App, "another credential of an application").unwrap();
        assert!(current.replace(next));
        let access = |credential| current.get().access(&[Role::App], Some(credential));
        assert_eq!(access("another credential of an application"), Access::Granted);
        assert_eq!(access(APP), Access::NotAuthenticated);
        let mut monitor = Credentials::default();
        monitor.add(Role::Monitor, APP).unwrap();
        for open in [Credentials::default(), monitor] {
            assert!(!current.replace(open));
        }
        assert_eq!(access("another credential of an application"), Access::Granted);
    }

    #[test]
    fn debug_output_names_roles_only() {
        assert_eq!(format!("{:?}", credentials()), "[App, Filter, Admin]");
    }
}
