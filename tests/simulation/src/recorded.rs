//! What seeds and reviewers have found, each as a scenario of its own: it fails where the fault is there again.

use std::time::Duration;

use session_gate_protocol::{Algorithm, AllowReason, DenyReason, Quota};

use crate::{
    clients::Kind,
    clocks::Millis,
    demands::{Demand, Mode},
    faults::Fault,
    limits::settings::{EXACT, LimitSettings},
    network::{Passage, Way},
    scenario::{
        Call, Request, Scenario,
        script::{Link, StoreLine},
    },
    store::{Fate, Op, refusing::Refused},
    worker_host::{Purpose, Route},
};

/// All of them.
pub fn all() -> Vec<Scenario> {
    vec![
        a_replica_that_has_gone_silent_is_waited_for(),
        an_answer_does_not_outweigh_a_suspension_that_its_worker_has_confirmed(),
        a_stream_is_not_opened_against_a_suspension_that_is_known(),
        a_logout_ends_the_streams_of_a_session_that_the_store_has_lost(),
        a_worker_that_is_full_has_lost_nothing(),
        who_logs_in_after_a_loss_is_not_taken_for_one_who_was_cut_off_before(),
        an_answer_that_begins_after_the_end_of_its_session_ends_soon(),
        a_worker_stays_current_while_the_store_accepts_no_changes(),
        a_session_ends_while_the_store_is_full(),
        a_worker_stays_current_where_the_store_accepts_changes_for_a_moment(),
        a_stream_goes_on_whose_second_question_was_answered_before_its_first(),
        a_stream_ends_for_what_its_worker_was_told_of_a_later_version(),
        a_token_that_was_read_may_be_asked_about_though_an_older_question_knew_of_none(),
    ]
}

/// Seed 13064506726870953214. Sidecar 1 cannot tell the others of itself and its new worker any more, but still answers about
/// single tokens: one such answer is on its way when sidecar 0 ends the session.
pub fn a_replica_that_has_gone_silent_is_waited_for() -> Scenario {
    let silent = |op| StoreLine { sidecar: 1, op, until: 81_000, fate: Fate::Refused(Duration::ZERO) };
    let answers = Link {
        worker: 1,
        purpose: Purpose::Check,
        way: Way::Back,
        until: 81_000,
        passage: Passage::Arrives(100, None),
    };
    Scenario::new("a_replica_that_has_gone_silent_is_waited_for", 81_000)
        .envoys(2)
        .max_staleness(150)
        .timeout(150)
        .at(9_000, Call::login("alice", 1))
        .at(10_000, silent(Op::Publish))
        .at(10_000, silent(Op::Read))
        .at(11_000, Fault::WorkerCrash { worker: 1 })
        // Of the worker that was there before nobody speaks any more. The new one knows nothing, and asks about each token.
        .at(80_000, answers)
        .at(80_000, Request::plain("on its way", 1, "alice"))
        .at(80_050, Call::about("end", Kind::Terminate, "alice").waiting())
        .at(80_500, Request::plain("afterwards", 1, "alice"))
        .answers("end", 200, Some(true))
        .refuses("afterwards", DenyReason::SessionTerminated)
}

/// Found with seed 1805802061965219144. The worker hears of a suspension and confirms it, while its feed is too old to
/// be trusted: an answer from before is on its way.
pub fn an_answer_does_not_outweigh_a_suspension_that_its_worker_has_confirmed() -> Scenario {
    let slow = |purpose, millis| Link {
        worker: 0,
        purpose,
        way: Way::Back,
        until: 14_000,
        passage: Passage::Arrives(millis, None),
    };
    Scenario::new("an_answer_does_not_outweigh_a_suspension_that_its_worker_has_confirmed", 14_000)
        .max_staleness(1_000)
        .timeout(1_000)
        .at(9_000, Call::login("alice", 1))
        .at(9_500, slow(Purpose::Feed, 980))
        .at(9_500, slow(Purpose::Check, 988))
        // The worker asks what is new, now. The answer will be 1,010 ms old when it comes: too old to be trusted.
        .at(12_000, Fault::Reset { worker: 0 })
        .at(12_025, Request::plain("on its way", 0, "alice"))
        // Only now: the sidecar takes five milliseconds to read the feed once more before it answers.
        .at(12_035, Call::about("suspend", Kind::Suspend, "alice").waiting())
        .answers("suspend", 200, Some(true))
        .refuses("on its way", DenyReason::SessionSuspended)
}

/// Seed 1805802061965219144. A session is ended by a `PATCH` whose step the store does late. Until it has, workers know
/// the session as suspended; one whose feed is not current asks, and is told that the session is live.
pub fn a_stream_is_not_opened_against_a_suspension_that_is_known() -> Scenario {
    let late = |millis| StoreLine {
        sidecar: 0,
        op: Op::Update,
        until: 9_501,
        fate: Fate::GivenUp(Some(Duration::from_millis(millis))),
    };
    let deaf = Link { worker: 0, purpose: Purpose::Feed, way: Way::There, until: 10_250, passage: Passage::Lost };
    Scenario::new("a_stream_is_not_opened_against_a_suspension_that_is_known", 13_000)
        .at(9_000, Call::login("alice", 1))
        .at(9_500, late(2_000))
        .at(9_500, Call::about("patch", Kind::TerminateByPatch, "alice"))
        .at(10_000, deaf)
        .at(10_200, Request::stream("stream", 0, "alice", 10))
        // The late step is done. Nobody is left whose end could be told.
        .at(12_000, Call::about_user("end all", Kind::TerminateUser, 1))
        .at(12_500, Request::plain("afterwards", 0, "alice"))
        .answers("patch", 503, None)
        .answers("end all", 200, None)
        .refuses("stream", DenyReason::SessionSuspended)
        .refuses("afterwards", DenyReason::SessionTerminated)
}

/// Seed 17249366809842018714. The store has lost its data; a token of a session from before logs out, and another of its
/// tokens has a stream.
pub fn a_logout_ends_the_streams_of_a_session_that_the_store_has_lost() -> Scenario {
    Scenario::new("a_logout_ends_the_streams_of_a_session_that_the_store_has_lost", 13_000)
        .at(9_000, Call::login("alice", 1))
        .at(9_100, Call::about("second", Kind::Mint, "alice"))
        .at(10_000, Request::stream("stream", 0, "alice", 10))
        .at(10_500, Fault::StoreLoss)
        .at(11_000, Call::about("logout", Kind::Logout, "second"))
        .admits("stream", AllowReason::Token)
        .answers("logout", 200, None)
        .ends("stream")
}

/// Seeds 17167958908909950197, 1576890533902229843 and 4986897288338130817. A worker asks for each request of an exact limit
/// and has room for two that wait: many are refused, but nothing is lost.
pub fn a_worker_that_is_full_has_lost_nothing() -> Scenario {
    let quota = Quota { algorithm: Algorithm::SlidingWindow, requests: 44, window_ms: 1_000, burst: None };
    Scenario::new("a_worker_that_is_full_has_lost_nothing", 10_000)
        .links_take(3)
        .max_held(2)
        .limit(EXACT, LimitSettings { exact: true, ..LimitSettings::new(quota) })
        .probing()
}

/// A worker remembers that all of a user's sessions were ended. The store loses its data, and with the only sidecar
/// everybody else forgets it: who logs in then must be of a later generation all the same.
pub fn who_logs_in_after_a_loss_is_not_taken_for_one_who_was_cut_off_before() -> Scenario {
    Scenario::new("who_logs_in_after_a_loss_is_not_taken_for_one_who_was_cut_off_before", 14_000)
        .at(9_000, Call::login("before", 1))
        .at(9_500, Call::about_user("end all", Kind::TerminateUser, 1))
        .at(10_000, Fault::SidecarCrash { sidecar: 0, until: 10_500 })
        .at(10_200, Fault::StoreLoss)
        .at(12_000, Call::login("after", 1))
        .at(13_000, Request::plain("request", 0, "after"))
        .answers("end all", 200, None)
        .admits("request", AllowReason::Token)
}

/// The session ends by time while the upstream works at an answer: that one has as long as the worker believes what it
/// knows. The checker took it for a stream that goes on after its time.
pub fn an_answer_that_begins_after_the_end_of_its_session_ends_soon() -> Scenario {
    Scenario::new("an_answer_that_begins_after_the_end_of_its_session_ends_soon", 16_000)
        .max_staleness(1_000)
        .at(9_000, Call::login("alice", 1).short())
        // The session ends at 12,000.
        .at(11_900, Request::stream("stream", 0, "alice", 2_500))
        .admits("stream", AllowReason::Token)
        .ends("stream")
}

/// The store lacks its replicas for five seconds, far longer than a sidecar's record is good for: the worker decides alone.
pub fn a_worker_stays_current_while_the_store_accepts_no_changes() -> Scenario {
    let nobody_asks =
        Link { worker: 0, purpose: Purpose::Check, way: Way::There, until: 16_000, passage: Passage::Lost };
    Scenario::new("a_worker_stays_current_while_the_store_accepts_no_changes", 16_000)
        .at(9_000, Call::login("alice", 1))
        .at(10_000, Fault::StoreRefuses { refused: Refused::All, until: 15_000 })
        .at(10_000, nobody_asks)
        .at(14_000, Call::about("end", Kind::Terminate, "alice"))
        .at(14_500, Request::plain("request", 0, "alice"))
        .answers("end", 503, None)
        .admits("request", AllowReason::Token)
}

/// A full store refuses who logs in, and ends whom it is told to end: all workers know.
pub fn a_session_ends_while_the_store_is_full() -> Scenario {
    Scenario::new("a_session_ends_while_the_store_is_full", 16_000)
        .at(9_000, Call::login("alice", 1))
        .at(10_000, Fault::StoreRefuses { refused: Refused::New, until: 15_000 })
        .at(12_000, Call::login("bob", 2))
        .at(14_000, Call::about("end", Kind::Terminate, "alice").waiting())
        .at(14_500, Request::plain("request", 0, "alice"))
        .answers("bob", 503, None)
        .answers("end", 200, Some(true))
        .refuses("request", DenyReason::SessionTerminated)
}

/// Seed 7031297778065524738. Between two times at which the store accepts nothing it accepts one record, by which sidecar 1
/// could count out sidecar 0.
pub fn a_worker_stays_current_where_the_store_accepts_changes_for_a_moment() -> Scenario {
    let nobody_asks =
        Link { worker: 0, purpose: Purpose::Check, way: Way::There, until: 20_000, passage: Passage::Lost };
    let held_up = StoreLine {
        sidecar: 0,
        op: Op::Publish,
        until: 15_050,
        fate: Fate::Pass(Duration::from_millis(100), Duration::ZERO),
    };
    Scenario::new("a_worker_stays_current_where_the_store_accepts_changes_for_a_moment", 20_000)
        .envoys(2)
        .at(9_000, Call::login("alice", 1))
        .at(10_000, Fault::StoreRefuses { refused: Refused::All, until: 15_000 })
        .at(10_000, nobody_asks)
        .at(14_990, held_up)
        .at(15_050, Fault::StoreRefuses { refused: Refused::All, until: 18_000 })
        .at(16_000, Request::plain("request", 0, "alice"))
        .admits("request", AllowReason::Token)
}

/// Seed 8786263057698731378. The store loses its data twice. The first question about the stream is never answered, the
/// second is, before the first is given up.
pub fn a_stream_goes_on_whose_second_question_was_answered_before_its_first() -> Scenario {
    let lost = Link { worker: 0, purpose: Purpose::Check, way: Way::Back, until: 10_400, passage: Passage::Lost };
    Scenario::new("a_stream_goes_on_whose_second_question_was_answered_before_its_first", 13_000)
        .max_staleness(1_000)
        .timeout(1_000)
        .at(9_000, Call::user_token("alice", 1))
        .at(9_500, Request::stream("stream", 0, "alice", 10))
        .at(10_000, lost)
        .at(10_000, Fault::StoreLoss)
        .at(10_500, Fault::StoreLoss)
        .admits("stream", AllowReason::Token)
}

/// Found with seed 10619666247850233884. The worker hears nothing, and is told of the scopes when it asks for another request:
/// of a later version, for the metadata have changed since.
pub fn a_stream_ends_for_what_its_worker_was_told_of_a_later_version() -> Scenario {
    let writes = Route::Asking(Demand::Write, Mode::Deny);
    Scenario::new("a_stream_ends_for_what_its_worker_was_told_of_a_later_version", 13_000)
        .at(9_000, Call::login("alice", 1))
        .at(9_100, Call::about("widen", Kind::Widen, "alice"))
        .at(9_500, Request::stream("stream", 0, "alice", 10).on(writes))
        .at(10_000, deaf(11_000))
        .at(10_100, Call::about("narrow", Kind::Narrow, "alice"))
        .at(10_200, Call::about("annotate", Kind::Annotate, "alice"))
        .at(10_500, Request::plain("request", 0, "alice").on(writes))
        .answers("narrow", 200, None)
        .answers("annotate", 200, None)
        .admits("stream", AllowReason::Token)
        .refuses("request", DenyReason::ScopeInsufficient)
        .ends("stream")
}

/// Seed 3607805946284814914. The worker asks what an opaque token says, once while it hears nothing and once when it hears
/// again. The older question comes to the sidecar when the token's time is over. The checker would not have it ask how
/// the token stands that it has read.
pub fn a_token_that_was_read_may_be_asked_about_though_an_older_question_knew_of_none() -> Scenario {
    let slow = Link {
        worker: 0,
        purpose: Purpose::Check,
        way: Way::There,
        until: 10_800,
        passage: Passage::Arrives(700, None),
    };
    let name = "a_token_that_was_read_may_be_asked_about_though_an_older_question_knew_of_none";
    Scenario::new(name, 13_000)
        .timeout(1_000)
        .max_staleness(1_000)
        .at(9_000, Call::login("alice", 1))
        .at(9_100, Call::about("opaque", Kind::MintOpaque, "alice").short())
        // Its time is over at 11,000.
        .at(9_200, deaf(10_500))
        .at(10_490, slow)
        .at(10_490, Request::plain("first", 0, "opaque"))
        .at(10_950, Request::plain("second", 0, "opaque"))
        .at(11_200, deaf(13_000))
        .at(12_500, Request::plain("third", 0, "opaque"))
        .refuses("first", DenyReason::TokenUnknown)
        .admits("second", AllowReason::Token)
        .admits("third", AllowReason::Token)
}

/// The worker hears nothing of the feed for so long.
const fn deaf(until: Millis) -> Link {
    Link { worker: 0, purpose: Purpose::Feed, way: Way::There, until, passage: Passage::Refused }
}
