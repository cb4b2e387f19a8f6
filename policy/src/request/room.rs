//! The room for requests that wait, and who may take how much of it.

/// A place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Of a request whose sender nobody has vouched for.
    Unverified(Unverified),
    /// Of one whose token is known to be good.
    Verified,
}

/// Why a request waits for whose sender nobody has vouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// It has no token; its limits are asked about.
    Anonymous,
    /// It has no token; its answer says something of a session.
    Command,
    /// Its token's time is over; its session is asked for another.
    Expired,
    /// Its token's key is missing.
    Key,
    /// It has no token, and logs in: the lock is asked.
    Login,
    /// Its token is opaque.
    Opaque,
    /// Its token is not looked at before the limits that come first are asked about.
    Turn,
}

/// How many requests a worker holds at most, and how many it holds.
///
/// Half of the room is for those whose token is known to be good. The other half is shared by the
/// causes: one may hold more as long as it holds fewer than are still free in that half. So a flood
/// takes a half of that half, and leaves as many places to the others: one of made-up opaque tokens does not keep
/// anybody from logging in.
#[derive(Debug)]
pub struct Room {
    max: usize,
    held: usize,
    unverified: [usize; 7],
}

impl Room {
    /// The room for so many.
    pub const fn new(max: usize) -> Self {
        Self { max, held: 0, unverified: [0; 7] }
    }

    /// A request takes up that place from here on; none: it is not held.
    pub fn enter(&mut self, place: Option<Place>) {
        self.held += usize::from(place.is_some());
        if let Some(held) = self.of_cause(place) {
            *held += 1;
        }
    }

    /// A request no longer takes up that place.
    pub fn leave(&mut self, place: Option<Place>) {
        self.held -= usize::from(place.is_some());
        if let Some(held) = self.of_cause(place) {
            *held -= 1;
        }
    }

    fn of_cause(&mut self, place: Option<Place>) -> Option<&mut usize> {
        match place? {
            Place::Unverified(cause) => self.unverified.get_mut(cause as usize),
            Place::Verified => None,
        }
    }

    /// Whether nobody may wait any more.
    pub(super) const fn is_full(&self) -> bool {
        self.held >= self.max
    }

    /// Whether nobody may wait any more for that cause.
    pub(super) fn is_full_for(&self, cause: Unverified) -> bool {
        let held = self.unverified.get(cause as usize).copied().unwrap_or_default();
        let free = self.max.div_ceil(2).saturating_sub(self.unverified.iter().sum());
        self.is_full() || held >= free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(room: &mut Room, cause: Unverified) -> usize {
        while !room.is_full_for(cause) {
            room.enter(Some(Place::Unverified(cause)));
        }
        room.unverified[cause as usize]
    }

    #[test]
    fn a_flood_of_each_cause_leaves_room_for_the_others_and_for_those_with_a_good_token() {
        let mut room = Room::new(1024);
        let floods = [Unverified::Opaque, Unverified::Key, Unverified::Turn, Unverified::Anonymous];
        assert_eq!(floods.map(|cause| fill(&mut room, cause)), [256, 128, 64, 32]);
        assert!(!room.is_full() && room.held <= 512);
        (0..544).for_each(|_| room.enter(Some(Place::Verified)));
        assert!(room.is_full() && room.is_full_for(Unverified::Key));
        assert_eq!(fill(&mut Room::new(1), Unverified::Anonymous), 1, "the smallest room has a place");
    }
}
