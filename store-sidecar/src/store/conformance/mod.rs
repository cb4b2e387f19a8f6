//! What every [`Store`] promises, each promise as a test over any store.
//!
//! A backend implements [`Harness`] and names it in one line, in its own crate or here:
//!
//! ```text
//! store_sidecar::store_conformance!(MyHarness);
//! ```
//!
//! Each test makes a store of its own, so they run in parallel.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a promise that is broken fails its test by panicking"
)]

pub mod at_once;
pub mod check;
pub mod cut_off;
pub mod ending;
pub mod feed;
pub mod idempotency;
pub mod leases;
pub mod listing;
pub mod logins;
pub mod patching;
pub mod refreshing;
pub mod renewing;
pub mod repeating;
pub mod rotating;
pub mod rules;
pub mod session_limit;
pub mod storing;
pub mod twins;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use session_gate_protocol::{
    CheckVerdict, Metadata, OwnToken, SessionData, SessionId, SessionPatch, TokenId, UnixSeconds, UserId,
};

use super::{CreateSession, OperationId, Store, StoreSettings, Update};

/// A store under test, with a way to let its time pass.
pub trait Harness: Send + Sync + Sized + 'static {
    /// The store.
    type Store: Store;

    /// A store with nothing in it.
    fn start(settings: StoreSettings) -> impl Future<Output = Self> + Send;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Lets at least `duration` pass by the store's clock, and little more.
    fn pass(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// The settings of most tests. Lifetimes are long against what a slow machine takes for a test.
pub const SETTINGS: StoreSettings = StoreSettings {
    retention: Duration::from_secs(10_000),
    activity_resolution: Duration::from_secs(60),
    feed_horizon: Duration::from_secs(5_000),
    max_metadata_bytes: 1024,
    max_counters: 1_000_000,
    counter_parts: 1,
};

/// How long the sessions of most tests live.
pub const LIFETIME: Duration = Duration::from_secs(1_000);

/// Makes a test of each promise, for a store that `$harness` starts. As `in_turn: $harness` it is an
/// expression instead, which tries one promise after the other: for a store that is slow to start.
#[macro_export]
macro_rules! store_conformance {
    ($harness:ty) => {
        $crate::store_conformance!(@promises tests $harness);
    };
    (in_turn: $harness:ty) => {
        $crate::store_conformance!(@promises in_turn $harness)
    };
    (@promises $how:ident $harness:ty) => {
        $crate::store_conformance! { @$how $harness,
            twins: [
                what_one_device_begins_twice_ends_nothing_of_its_own,
            ]
            storing: [
                a_new_session_is_answered_as_it_is_stored,
                a_session_may_start_without_its_second_factor,
                an_id_is_given_out_once,
                an_id_made_for_another_user_is_refused,
                json_comes_back_as_it_went_in,
                oversized_metadata_is_refused,
                unusual_user_ids_are_kept_apart,
                users_with_one_tag_are_kept_apart,
                what_is_unknown_is_no_error,
                the_longest_lifetimes_are_held,
                the_list_is_newest_first,
                health_names_the_store,
            ]
            patching: [
                a_patch_replaces_removes_and_leaves,
                metadata_is_merged_at_every_depth,
                a_null_empties_the_metadata,
                an_update_of_another_version_is_refused,
                of_concurrent_updates_of_one_version_one_wins,
                concurrent_updates_lose_nothing,
                the_status_changes_where_it_may,
                a_patch_that_terminates_ends_the_session,
                an_ended_session_is_not_changed,
                oversized_metadata_changes_nothing,
                scopes_are_set_shown_checked_and_removed,
                what_is_known_of_a_lost_version_is_restored,
            ]
            ending: [
                a_terminated_session_is_dead_at_once,
                an_ended_session_has_no_data_of_its_user,
                terminating_again_changes_nothing,
                terminating_all_leaves_none_live,
                a_session_ends_at_its_time,
                an_idle_session_ends,
                activity_keeps_a_session_from_being_idle,
                steady_use_is_not_idle_however_coarse_the_resolution,
                a_suspended_session_is_not_kept_alive_by_requests,
                ended_sessions_are_not_listed,
                an_expired_session_is_known_for_the_retention,
                a_terminated_session_is_known_for_the_retention,
            ]
            cut_off: [
                a_cut_off_that_has_only_begun_ends_nothing,
                a_cut_off_ends_what_began_before_it_and_nothing_else,
                what_had_expired_before_a_cut_off_stays_expired,
                the_one_that_is_spared_goes_on,
                a_repeated_or_late_step_changes_nothing,
                no_session_slips_through_a_cut_off,
                in_any_order_exactly_the_sessions_that_began_after_it_live,
                who_logs_in_after_a_loss_is_not_dead_at_birth,
                a_cut_off_is_known_for_as_long_as_it_could_matter,
                what_was_cut_off_is_swept_in_batches,
            ]
            session_limit: [
                what_a_cut_off_has_ended_is_in_nobodys_way,
                who_is_denied_changes_nothing,
                the_least_recently_used_session_ends_for_a_new_one,
                who_is_only_told_keeps_all,
                nothing_ends_that_was_not_noted,
                of_fifty_logins_at_once_as_many_are_made_as_allowed,
                of_fifty_logins_at_once_the_last_made_live,
                a_lowered_limit_ends_all_that_is_too_much,
                a_session_that_is_replaced_does_not_count,
                what_has_ended_by_itself_does_not_count,
                who_waits_for_a_second_factor_counts_for_a_while,
                a_rotated_session_keeps_its_place,
                a_repeated_admission_answers_as_the_first_time,
                what_was_not_told_is_found,
                a_handle_is_good_once_and_for_its_time,
            ]
            listing: [
                a_list_is_read_in_pages,
                the_active_sessions_are_found_among_any_others,
            ]
            at_once: [
                of_two_cut_offs_at_once_the_first_counts,
                who_is_spared_by_a_cut_off_may_begin_another_at_once,
            ]
            repeating: [
                a_repeated_creation_answers_as_the_first_time,
                a_repeated_update_answers_as_the_first_time,
                a_repeated_end_answers_as_the_first_time,
                what_is_the_same_twice_as_once_may_be_repeated,
                another_operation_is_none_repeated,
            ]
            renewing: [
                a_token_has_one_successor,
                a_successor_that_has_expired_is_replaced_once,
                a_later_renewal_than_is_known_is_believed,
                a_session_that_may_not_be_used_gives_no_successor,
                a_renewal_is_no_use_of_its_session,
                a_rotated_session_begins_a_chain_of_its_own,
                of_concurrent_candidates_one_wins,
                no_successor_is_stored_after_the_end,
            ]
            refreshing: [
                a_record_is_replaced_if_it_is_still_what_was_read,
                a_session_that_may_not_be_used_changes_no_record,
                a_refresh_is_a_use_of_its_session,
                a_record_does_not_go_on_under_a_new_id,
                of_concurrent_changes_one_wins,
            ]
            rotating: [
                a_class_is_kept_with_its_session,
                a_rotated_session_goes_on_under_its_new_id_alone,
                only_a_users_own_session_that_may_be_used_is_rotated,
                a_rotated_session_does_not_escape_a_cut_off,
                of_concurrent_rotations_of_one_session_one_wins,
                a_repeated_rotation_answers_as_the_first_time,
            ]
            check: [
                each_status_has_its_verdict,
                a_revoked_token_is_refused_until_it_has_expired,
                revoking_never_shortens,
                revoking_can_lengthen,
                revoked_wins_over_the_session,
                an_unknown_session_is_unknown,
                another_users_session_is_unknown,
                a_token_id_belongs_to_its_user,
                activity_is_noted_when_it_is_older_than_the_resolution,
                activity_is_no_change,
                what_is_touched_is_in_use,
                touching_changes_no_session_that_may_not_be_used,
                a_session_that_may_be_used_comes_with_its_verdict,
                an_opaque_token_is_known_until_it_has_expired,
                an_opaque_token_is_found_by_its_tag_and_hash_alone,
            ]
            feed: [
                entries_come_back_in_their_order,
                nothing_is_lost_or_doubled_when_many_append,
                a_long_feed_is_read_in_pages,
                the_epoch_stays_the_same,
                who_knows_another_epoch_begins_at_the_start,
                a_place_that_is_not_there_begins_a_new_epoch,
                an_entry_that_is_of_no_more_use_is_left_out,
                no_entry_outlives_the_longest_token,
                followers_are_known_until_their_replica_is_gone,
            ]
            rules: [
                a_rule_outlives_everything_else_in_the_feed,
                a_rule_that_does_not_last_goes_with_its_time,
                a_removed_rule_does_not_come_back,
                a_rule_that_is_told_again_has_its_new_end,
                rules_come_in_their_order_before_the_log,
                the_rules_that_stand_are_bounded,
                a_limit_that_is_told_again_has_its_new_number,
            ]
            leases: [
                no_more_is_leased_than_there_is,
                what_is_handed_back_is_leased_again_once,
                a_repeated_question_takes_nothing_more,
                what_is_owed_counts_once_however_often_a_call_comes,
                slots_in_use_move_to_the_new_lease,
                every_quota_is_taken_from,
                the_next_window_has_all_again,
                a_lease_of_which_nobody_hears_counts_as_used,
                another_number_of_requests_keeps_the_count,
                counters_are_bounded,
                the_counter_that_is_idle_the_longest_goes_first,
            ]
            idempotency: [
                who_comes_first_has_the_claim,
                a_claim_is_settled_by_whom_it_belongs_to,
                what_is_kept_ends_with_its_time,
                of_many_at_once_one_has_the_claim,
            ]
            logins: [
                of_many_guesses_at_once_five_count,
                locks_grow_to_the_longest_and_no_further,
                a_lock_does_not_feed_itself,
                failures_count_for_a_window,
                an_account_is_unlocked_at_once,
                a_device_has_a_budget_of_its_own,
                of_many_guesses_of_a_device_five_count,
                a_token_of_a_device_is_known_until_its_successor_was_shown,
                of_many_logins_of_a_device_at_once_each_token_is_known,
                a_token_of_a_device_shares_the_budget_of_its_successor,
                devices_go_that_were_not_shown_for_the_longest_time,
                a_device_has_no_more_tokens_than_a_browser_may_wait_for,
            ]
        }
    };
    (@tests $harness:ty, $($module:ident: [$($promise:ident),* $(,)?])*) => {
        $(mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    $crate::store::conformance::$module::$promise::<$harness>().await;
                }
            )*
        })*
    };
    (@in_turn $harness:ty, $($module:ident: [$($promise:ident),* $(,)?])*) => {
        $($(
            println!("{}::{}", stringify!($module), stringify!($promise));
            $crate::store::conformance::$module::$promise::<$harness>().await;
        )*)*
    };
}

/// Names an operation that nobody has named yet.
pub fn op() -> OperationId {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    OperationId::numbered(COUNT.fetch_add(1, Ordering::Relaxed).into())
}

fn user(text: &str) -> UserId {
    text.parse().unwrap()
}

fn token(text: &str) -> TokenId {
    text.parse().unwrap()
}

fn metadata(value: Value) -> Metadata {
    serde_json::from_value(value).unwrap()
}

fn patch(value: Value) -> SessionPatch {
    serde_json::from_value(value).unwrap()
}

/// The id of `user`'s session of that number.
fn id(user: &UserId, number: u8) -> SessionId {
    SessionId::new(user, &[number; 32])
}

/// A session without anything special.
fn plain(user: &UserId, number: u8) -> CreateSession {
    CreateSession {
        id: id(user, number),
        session: serde_json::from_value(json!({ "user_id": user })).unwrap(),
        duration: LIFETIME,
        idle_timeout: None,
        is_persistent: false,
    }
}

/// The same, which ends after an idle time.
fn idle_after(user: &UserId, number: u8, idle: u64) -> CreateSession {
    CreateSession { idle_timeout: Some(Duration::from_secs(idle)), ..plain(user, number) }
}

async fn create(store: &impl Store, new: CreateSession) -> SessionData {
    store.create_session(new, op()).await.unwrap()
}

async fn get(store: &impl Store, id: &SessionId) -> SessionData {
    store.session(id).await.unwrap().unwrap()
}

async fn update(store: &impl Store, id: &SessionId, value: Value) -> SessionData {
    match store.update_session(id, &patch(value), None, op()).await.unwrap() {
        Update::Applied(session) => session,
        refused => panic!("{refused:?}"),
    }
}

/// The verdict on a token of `user` and that session.
async fn check(store: &impl Store, user: &UserId, session: &SessionId) -> CheckVerdict {
    let token = OwnToken { user_id: user.clone(), session_id: Some(session.clone()), token_id: token("token") };
    store.check(&token).await.unwrap().verdict
}

/// The verdict on a token without a session.
async fn check_token(store: &impl Store, user: &UserId, token: &TokenId) -> CheckVerdict {
    let token = OwnToken { user_id: user.clone(), session_id: None, token_id: token.clone() };
    store.check(&token).await.unwrap().verdict
}

/// Ends all sessions that the user has. Answers the generation of those that begin afterwards.
async fn end_all(store: &impl Store, user: &UserId) -> u64 {
    let begun = store.begin_cut_off(user, None, 0).await.unwrap();
    store.finish_cut_off(user, begun.before, None).await.unwrap();
    begun.before
}

/// The store's time, read off a session that begins now.
async fn now(store: &impl Store) -> UnixSeconds {
    create(store, plain(&user("clock"), 0)).await.created_at
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
