//! Which rule a request meets.

use std::rc::Rc;

use session_gate_protocol::DenyReason;

use super::{
    case::folded,
    pattern::{Case, Matcher},
    route::Route,
};
use crate::http::{
    interpretations::{Cause, Reading, RequestInterpretations, Unroutable},
    upstream_interpretations::Interpretation,
};

/// The rules, in their order: the first that matches counts.
#[derive(Debug)]
pub struct RouteTable {
    /// Those of the gate's own endpoints first.
    routes: Vec<Rc<Route>>,
    endpoints: usize,
    fallback: Rc<Route>,
    default_rule: DefaultRule,
    /// Whether case makes a difference to some rule, however the path is written.
    has_case: bool,
}

/// What happens to requests that no rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultRule {
    /// They need a good token.
    Authenticated,
    /// They are refused.
    Deny,
}

/// The methods and hosts of a request that a path is judged with, of which those in `undecided` (a bit each) have not
/// met a rule yet.
struct Pairs<'a> {
    readings: &'a RequestInterpretations,
    undecided: u64,
}

impl RouteTable {
    /// The table of these rules, those of the gate's own endpoints first; what none matches is `fallback`'s, by the
    /// default rule.
    pub fn new(endpoints: Vec<Route>, routes: Vec<Route>, fallback: Route, default_rule: DefaultRule) -> Self {
        let count = endpoints.len();
        let routes: Vec<_> = endpoints.into_iter().chain(routes).map(Rc::new).collect();
        let has_case = routes.iter().any(|route| route.matcher.has_case());
        Self { routes, endpoints: count, fallback: Rc::new(fallback), default_rule, has_case }
    }

    /// The rule for a request, if it is the same one for every combination of its readings.
    ///
    /// # Errors
    /// `PathAmbiguous` where two readings meet different rules, `NoRule` where there is none and the default is to deny.
    pub fn find(&self, readings: &RequestInterpretations) -> Result<&Rc<Route>, Unroutable> {
        let mut found = None;
        for path in &readings.paths {
            self.judge(path, Case::Counts, path.by, readings, &mut found)?;
            let can_differ = || self.has_case || path.text.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii());
            if readings.ignores_case && can_differ() {
                let folded = Reading { text: folded(&path.text), by: None };
                let by = Cause { interpretation: Interpretation::CaseInsensitivePaths, header: None };
                self.judge(&folded, Case::Ignored, Some(by), readings, &mut found)?;
            }
        }
        match found.ok_or(DenyReason::PathInvalid)? {
            rule if Rc::ptr_eq(rule, &self.fallback) && self.default_rule == DefaultRule::Deny => {
                Err(DenyReason::NoRule.into())
            }
            rule => Ok(rule),
        }
    }

    /// Looks which rules this path meets with each method and host: each must be the one that was found. The path is
    /// compared with each rule once at most.
    fn judge<'t>(
        &'t self,
        path: &Reading,
        case: Case,
        by: Option<Cause>,
        readings: &RequestInterpretations,
        found: &mut Option<&'t Rc<Route>>,
    ) -> Result<(), Unroutable> {
        let mut pairs = Pairs::new(readings);
        for route in &self.routes {
            let served = pairs.served_by(&route.matcher);
            if served != 0 && route.matcher.matches_path(&path.text, case) {
                // The very same rule, not an equal one.
                if !Rc::ptr_eq(found.get_or_insert(route), route) {
                    return Err(Unroutable::ambiguous(pairs.blame(served).or(by)));
                }
                pairs.undecided &= !served;
                if pairs.undecided == 0 {
                    return Ok(());
                }
            }
        }
        if Rc::ptr_eq(found.get_or_insert(&self.fallback), &self.fallback) {
            Ok(())
        } else {
            Err(Unroutable::ambiguous(pairs.blame(pairs.undecided).or(by)))
        }
    }

    /// The application's rules that a request can meet, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Route>> {
        let fallback = (self.default_rule == DefaultRule::Authenticated).then_some(&self.fallback);
        self.routes.iter().skip(self.endpoints).chain(fallback)
    }

    /// The rule for requests that none matches, and for replies to requests that none was seen of.
    pub fn fallback(&self) -> &Rc<Route> {
        &self.fallback
    }
}

impl<'a> Pairs<'a> {
    /// There are 64 combinations at most.
    fn new(readings: &'a RequestInterpretations) -> Self {
        let count = readings.methods.len() * readings.hosts.len();
        Self { readings, undecided: u64::MAX.checked_shr(64_u32.saturating_sub(count as u32)).unwrap_or_default() }
    }

    fn iter(&self) -> impl Iterator<Item = (u64, &'a Reading, &'a Reading)> + use<'a> {
        let readings = self.readings;
        let pairs =
            readings.hosts.iter().flat_map(move |host| readings.methods.iter().map(move |method| (host, method)));
        pairs.take(64).enumerate().map(|(place, (host, method))| (1 << place, host, method))
    }

    /// Those of the undecided that a rule is for, as far as method and host go.
    fn served_by(&self, matcher: &Matcher) -> u64 {
        let undecided = self.iter().filter(|(bit, ..)| self.undecided & bit != 0);
        undecided
            .filter(|(_, host, method)| matcher.serves(&host.text, &method.text))
            .fold(0, |served, (bit, ..)| served | bit)
    }

    /// Why those in `served`, which are undecided, meet another rule than was found: what was sent is not to blame.
    fn blame(&self, served: u64) -> Option<Cause> {
        let others = if served & 1 == 0 { served } else { !self.undecided };
        self.iter().filter(|(bit, ..)| others & bit != 0).find_map(|(_, host, method)| host.by.or(method.by))
    }
}
