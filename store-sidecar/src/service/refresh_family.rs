//! The refresh tokens of one session: which one is current, and what whoever shows another gets.
//!
//! Pure: what is stored of them is this, as JSON, and it is replaced as a whole if it is still what was read.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use session_gate_protocol::{Metadata, RefreshToken, UnixSeconds};

/// How long after its successor was used first a token is still answered with it: requests that were under way, and answers
/// that were lost.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// How many tokens are answered with their successors at most. Whoever refreshes that often within [`GRACE`] and then shows an
/// older one is a thief, or as good as one.
const MOST_PREDECESSORS: usize = 16;

/// The refresh tokens of one session, as they are stored: hashes and sealed boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Family {
    /// What all of them share.
    family: String,
    /// The one that gets the next.
    current: String,
    /// Its number.
    number: u32,
    /// Those that are answered with their successors, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    predecessors: Vec<Predecessor>,
    /// What access tokens say.
    pub(super) grant: Grant,
}

/// A token that has been replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Predecessor {
    hash: String,
    /// Its successor, sealed for whoever shows it.
    sealed: String,
    /// Until when it is answered; none: its successor has not been used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<UnixSeconds>,
}

/// What access tokens say that does not follow from the session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Grant {
    /// What the first one permitted, as a list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) scope: String,
    /// Whether it was asked for with less than the session permits.
    #[serde(default)]
    pub(super) narrowed: bool,
    /// How the user proved who they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) amr: Vec<String>,
    /// Whether they are opaque.
    #[serde(default)]
    pub(super) opaque: bool,
    /// The application's own data.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub(super) metadata: Metadata,
}

/// What a token is to a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The current one.
    Current,
    /// Of the family, and as late as any that is known, or later: the store has lost it.
    Lost,
    /// It has a successor, and is answered with it: this box.
    Replaced(String),
    /// Of the family, and replaced too long ago: there are two who have it.
    Stale,
    /// None of the family.
    Stranger,
}

impl Family {
    /// That of this first token.
    pub(super) fn of(first: &RefreshToken, grant: Grant) -> Self {
        let (family, current) = (first.family_hash(), first.hash());
        Self { family, current, number: first.number(), predecessors: Vec::new(), grant }
    }

    /// What the token that is shown now is to this family.
    pub(super) fn place_of(&self, shown: &RefreshToken, now: UnixSeconds) -> Place {
        let hash = shown.hash();
        if shown.family_hash() != self.family {
            return Place::Stranger;
        }
        if hash == self.current {
            return Place::Current;
        }
        let replaced = self.predecessors.iter().find(|one| one.hash == hash && one.is_answered(now));
        match replaced {
            Some(replaced) => Place::Replaced(replaced.sealed.clone()),
            // In one history there is one of each number: another of the current one comes from before the store lost it.
            None if shown.number() >= self.number => Place::Lost,
            None => Place::Stale,
        }
    }

    /// The family once the current token has been shown, and replaced by that one.
    pub(super) fn rotated(&self, next: &RefreshToken, sealed: String, now: UnixSeconds) -> Self {
        let mut predecessors: Vec<Predecessor> = self
            .predecessors
            .iter()
            .filter(|one| one.is_answered(now))
            .cloned()
            .map(|one| Predecessor { until: one.until.or(Some(now.after(GRACE))), ..one })
            .collect();
        predecessors.push(Predecessor { hash: self.current.clone(), sealed, until: None });
        let surplus = predecessors.len().saturating_sub(MOST_PREDECESSORS);
        predecessors.drain(..surplus);
        Self { current: next.hash(), number: next.number(), predecessors, ..self.clone() }
    }
}

impl Predecessor {
    fn is_answered(&self, now: UnixSeconds) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use session_gate_protocol::SessionId;

    use super::*;

    fn first() -> RefreshToken {
        RefreshToken::first(SessionId::new(&"alice".parse().unwrap(), &[7; 32]), [1; 16], [0; 32])
    }

    fn grant() -> Grant {
        let scope = "read".to_owned();
        Grant { scope, narrowed: false, amr: vec!["pwd".to_owned()], opaque: false, metadata: Metadata::default() }
    }

    /// The box of that token's successor, for tests.
    fn boxed(number: u32) -> String {
        format!("box {number}")
    }

    proptest! {
        /// Against what the promise says, for any times between refreshes by any of the tokens that there have been.
        #[test]
        fn who_shows_what_gets_what_was_promised(steps in prop::collection::vec((0_u64..40, 0_usize..12), 1..40)) {
            let mut now = UnixSeconds(1_000);
            let mut tokens = vec![first()];
            // When each token was used first.
            let mut used: Vec<Option<UnixSeconds>> = vec![None];
            let mut family = Family::of(&tokens[0], grant());
            for (later, back) in steps {
                now = now.after(Duration::from_secs(later));
                let shown = tokens.len().saturating_sub(1 + back);
                let is_current = shown + 1 == tokens.len();
                let is_answered = used.get(shown + 1).is_some_and(|used| used.is_none_or(|used| now < used.after(GRACE)));
                let place = family.place_of(&tokens[shown], now);
                if is_current {
                    prop_assert_eq!(place, Place::Current);
                    let next = tokens[shown].next([u8::try_from(tokens.len()).unwrap(); 32]);
                    used[shown] = Some(now);
                    family = family.rotated(&next, boxed(tokens[shown].number()), now);
                    tokens.push(next);
                    used.push(None);
                } else if is_answered && back <= MOST_PREDECESSORS {
                    prop_assert_eq!(place, Place::Replaced(boxed(tokens[shown].number())));
                } else {
                    prop_assert_eq!(place, Place::Stale);
                }
                let text = serde_json::to_string(&family).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Family>(&text).unwrap(), &family);
                prop_assert!(family.predecessors.len() <= MOST_PREDECESSORS);
                for token in &tokens {
                    prop_assert!(!text.contains(&token.expose()));
                }
            }
        }
    }

    #[test]
    fn a_made_up_token_is_no_theft_and_one_that_was_lost_neither() {
        let first = first();
        let second = first.next([2; 32]);
        let family = Family::of(&first, grant()).rotated(&second, boxed(0), UnixSeconds(1));
        let stranger = RefreshToken::first(first.session().clone(), [9; 16], [0; 32]);
        assert_eq!(family.place_of(&stranger, UnixSeconds(1)), Place::Stranger);
        assert_eq!(family.place_of(&second.next([3; 32]), UnixSeconds(1)), Place::Lost);
        assert_eq!(family.place_of(&first.next([3; 32]), UnixSeconds(1)), Place::Lost, "another of that number");
    }

    #[test]
    fn the_oldest_of_too_many_goes_first() {
        let now = UnixSeconds(1);
        let mut tokens = vec![first()];
        let mut family = Family::of(&tokens[0], grant());
        for number in 0..20 {
            let next = tokens[number].next([1; 32]);
            family = family.rotated(&next, boxed(0), now);
            tokens.push(next);
        }
        assert_eq!(family.place_of(&tokens[3], now), Place::Stale);
        assert_eq!(family.place_of(&tokens[4], now), Place::Replaced(boxed(0)));
    }
}
