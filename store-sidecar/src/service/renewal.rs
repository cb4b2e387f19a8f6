//! How the token of a session is renewed, as the filter asks for it while the application works.
//!
//! A session's token has one successor, whoever shows it and at whichever replica: the store keeps it sealed under a key
//! derived from the token that is shown. So all tabs of a browser get the same one, and whoever has read the store none.
//! An older token than the last but one gets nothing.

use std::time::Duration;

use session_gate_protocol::{
    Audience, CheckVerdict, CheckedSession, Claims, MAX_LEEWAY, NewToken, RenewReply, SessionData, SessionId,
    SessionToken, TokenId, UnixSeconds,
};

use super::{
    Service, ServiceError,
    base::TokenRules,
    check::{Counts, OWN_PATIENCE, own},
    presented::scope_by_now,
};
use crate::{
    feed::Client,
    metrics::RenewalOutcome,
    rng::random_bytes,
    sealing::{Purpose, open, seal},
    store::{Checked, Renewal, Renewed},
};

/// How often a successor is looked for anew: others may renew the token at the same time, and then theirs counts.
const MOST_ATTEMPTS: usize = 4;

/// Which part of its life a renewed token may have less than another, at random: those of many logins at once are not due at
/// once for ever.
const JITTER_PART: u32 = 10;

/// A token that may be renewed.
struct Renewable<'a> {
    token: &'a str,
    claims: &'a Claims,
    session_id: &'a SessionId,
    /// Which renewal it is.
    number: u64,
    verdict: CheckVerdict,
    session: CheckedSession,
}

/// What comes of a question for a successor.
struct Outcome {
    outcome: RenewalOutcome,
    reply: RenewReply,
}

/// What comes of a candidate.
enum Offer {
    Concluded(Outcome),
    /// The token has a successor of that number, which has expired without being used: another takes its place. (Not that
    /// one's successor: the other tabs, which show the same token, would not get that.)
    SuccessorExpired(u64),
}

impl Outcome {
    const fn without_token(outcome: RenewalOutcome, verdict: CheckVerdict) -> Self {
        Self { outcome, reply: RenewReply { verdict, token: None } }
    }
}

impl Service {
    /// What is known of a token, expired or not, and its successor where it is due.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn renew(&self, token: &str) -> Result<RenewReply, ServiceError> {
        let done = self.successor(token).await;
        let outcome = done.as_ref().map_or(RenewalOutcome::Unavailable, |done| done.outcome);
        self.tools.metrics.token_renewed(outcome);
        done.map(|done| done.reply)
    }

    async fn successor(&self, token: &str) -> Result<Outcome, ServiceError> {
        self.tools.feed.may_answer(OWN_PATIENCE).await?;
        let Some(claims) = self.presented(token).await? else {
            return Ok(Outcome::without_token(RenewalOutcome::NotRenewable, CheckVerdict::CredentialUnknown));
        };
        let Checked { verdict, session } = self.check_own(&own(&claims), Client::default(), Counts::AsNothing).await?;
        if !matches!(verdict, CheckVerdict::Live | CheckVerdict::SessionPending2fa) {
            return Ok(Outcome::without_token(RenewalOutcome::NotLive, verdict));
        }
        let (Some(session_id), Some(number), Some(session)) = (&claims.sid, claims.renewal, session) else {
            return Ok(Outcome::without_token(RenewalOutcome::NotRenewable, verdict));
        };
        let renewable = Renewable { token, claims: &claims, session_id, number, verdict, session };
        if self.is_due(&renewable) {
            self.renew_due(&renewable).await
        } else {
            Ok(Outcome::without_token(RenewalOutcome::NotDue, verdict))
        }
    }

    /// Whether the token ends soon, and not because its session does.
    fn is_due(&self, token: &Renewable<'_>) -> bool {
        let threshold = self.tokens.refresh_threshold;
        let exp = token.claims.exp;
        !threshold.is_zero() && exp <= self.now().after(threshold) && exp < token.session.expires_at
    }

    async fn renew_due(&self, shown: &Renewable<'_>) -> Result<Outcome, ServiceError> {
        let mut replaced = shown.number;
        for _ in 0..MOST_ATTEMPTS {
            match self.offer(shown, replaced).await? {
                Offer::Concluded(outcome) => return Ok(outcome),
                Offer::SuccessorExpired(number) => replaced = number,
            }
        }
        Ok(Outcome::without_token(RenewalOutcome::Superseded, shown.verdict))
    }

    /// Mints a candidate, which becomes the token's successor unless that has one.
    async fn offer(&self, shown: &Renewable<'_>, replaced: u64) -> Result<Offer, ServiceError> {
        let claims = self.successor_claims(shown, replaced.saturating_add(1))?;
        if matches!(self.check_size(&claims), Err(ServiceError::Invalid(_))) {
            tracing::warn!("a token is not renewed: its successor would be too large for a cookie");
            return Ok(shown.without_token(RenewalOutcome::TooLarge));
        }
        let candidate = self.sign(&claims).await?;
        let sealed = seal(Purpose::Renewal, shown.token, shown.session_id.as_str(), &candidate, &*self.tools.random)
            .map_err(|error| ServiceError::Internal(Box::new(error)))?;
        let renewal = Renewal { user_id: claims.sub, shown: shown.number, replaced, sealed };
        match self.tools.store.renew_token(shown.session_id, &renewal).await? {
            Renewed::Stored { is_persistent } => {
                self.tools.metrics.token_issued(false);
                let token = self.session_token(shown, candidate, claims.exp, is_persistent);
                Ok(shown.with_token(RenewalOutcome::Renewed, token))
            }
            Renewed::Before { sealed, is_persistent } => self.open_successor(shown, &sealed, is_persistent),
            Renewed::Superseded => Ok(shown.without_token(RenewalOutcome::Superseded)),
            Renewed::NotFound => Ok(not_live(CheckVerdict::SessionUnknown)),
            Renewed::Refused(status) => Ok(not_live(status.verdict())),
        }
    }

    /// The successor that the token has.
    fn open_successor(&self, shown: &Renewable<'_>, sealed: &str, is_persistent: bool) -> Result<Offer, ServiceError> {
        let opened = open(Purpose::Renewal, shown.token, shown.session_id.as_str(), sealed);
        let verified = opened.and_then(|text| Some((self.verify(&text)?, text)));
        // A box for another token of that number: the store had lost this one's when it was made.
        let Some((successor, text)) = verified else { return Ok(shown.without_token(RenewalOutcome::Superseded)) };
        let Claims { exp, renewal, .. } = *successor.claims();
        match renewal {
            Some(number) if exp <= self.now() => Ok(Offer::SuccessorExpired(number)),
            _ => {
                let token = self.session_token(shown, text, exp, is_persistent);
                Ok(shown.with_token(RenewalOutcome::Shared, token))
            }
        }
    }

    /// What a successor says: what the token does, as its session is by now.
    fn successor_claims(&self, shown: &Renewable<'_>, number: u64) -> Result<Claims, ServiceError> {
        let Renewable { claims, session, verdict, .. } = shown;
        let now = self.now();
        Ok(Claims {
            iss: self.tokens.issuer.clone(),
            aud: Audience::One(self.tokens.audience.clone()),
            exp: now.after(self.renewed_lifetime()?).min(session.expires_at),
            nbf: now.before(MAX_LEEWAY),
            iat: now,
            jti: TokenId::new(&random_bytes(&*self.tools.random)?),
            generation: session.generation,
            session_exp: Some(session.expires_at),
            scope: scope_by_now(claims, session.scopes.as_ref()),
            idle: session.idle_timeout,
            pending_2fa: *verdict == CheckVerdict::SessionPending2fa,
            renewal: Some(number),
            ..(*claims).clone()
        })
    }

    /// How long a renewed token lives: never so short that it is due at once.
    fn renewed_lifetime(&self) -> Result<Duration, ServiceError> {
        let TokenRules { duration, refresh_threshold, .. } = &self.tokens;
        let most = (*duration / JITTER_PART).min(duration.saturating_sub(*refresh_threshold) / 2);
        let random = u32::from_be_bytes(random_bytes(&*self.tools.random)?);
        let share = f64::from(random) / f64::from(u32::MAX);
        Ok(duration.saturating_sub(Duration::from_secs(most.mul_f64(share).as_secs())))
    }

    fn session_token(
        &self,
        shown: &Renewable<'_>,
        token: String,
        expires_at: UnixSeconds,
        is_persistent: bool,
    ) -> SessionToken {
        let max_age = is_persistent.then(|| shown.session.expires_at.since(self.now()).as_secs());
        SessionToken { token, expires_at, max_age }
    }

    /// The claims of the first token of a session, which is renewed.
    pub(super) fn renewable_claims(&self, new: &NewToken, session: &SessionData) -> Result<Claims, ServiceError> {
        let claims = self.claims(new, session.user_id.clone(), Some(session))?;
        Ok(Claims { renewal: Some(0), ..claims })
    }
}

impl Renewable<'_> {
    const fn without_token(&self, outcome: RenewalOutcome) -> Offer {
        Offer::Concluded(Outcome::without_token(outcome, self.verdict))
    }

    const fn with_token(&self, outcome: RenewalOutcome, token: SessionToken) -> Offer {
        Offer::Concluded(Outcome { outcome, reply: RenewReply { verdict: self.verdict, token: Some(token) } })
    }
}

const fn not_live(verdict: CheckVerdict) -> Offer {
    Offer::Concluded(Outcome::without_token(RenewalOutcome::NotLive, verdict))
}
