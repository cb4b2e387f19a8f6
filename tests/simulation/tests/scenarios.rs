//! What was found once, each as a scenario of its own.

use session_gate_simulation::recorded;

#[test]
fn a_replica_that_has_gone_silent_is_waited_for() {
    assert_eq!(recorded::a_replica_that_has_gone_silent_is_waited_for().play().unwrap(), None);
}

#[test]
fn an_answer_does_not_outweigh_a_suspension_that_its_worker_has_confirmed() {
    let scenario = recorded::an_answer_does_not_outweigh_a_suspension_that_its_worker_has_confirmed();
    assert_eq!(scenario.play().unwrap(), None);
}

#[test]
fn a_stream_is_not_opened_against_a_suspension_that_is_known() {
    assert_eq!(recorded::a_stream_is_not_opened_against_a_suspension_that_is_known().play().unwrap(), None);
}

#[test]
fn a_logout_ends_the_streams_of_a_session_that_the_store_has_lost() {
    assert_eq!(recorded::a_logout_ends_the_streams_of_a_session_that_the_store_has_lost().play().unwrap(), None);
}

#[test]
fn a_worker_that_is_full_has_lost_nothing() {
    assert_eq!(recorded::a_worker_that_is_full_has_lost_nothing().play().unwrap(), None);
}

#[test]
fn who_logs_in_after_a_loss_is_not_taken_for_one_who_was_cut_off_before() {
    let scenario = recorded::who_logs_in_after_a_loss_is_not_taken_for_one_who_was_cut_off_before();
    assert_eq!(scenario.play().unwrap(), None);
}

#[test]
fn an_answer_that_begins_after_the_end_of_its_session_ends_soon() {
    assert_eq!(recorded::an_answer_that_begins_after_the_end_of_its_session_ends_soon().play().unwrap(), None);
}

#[test]
fn a_worker_stays_current_while_the_store_accepts_no_changes() {
    assert_eq!(recorded::a_worker_stays_current_while_the_store_accepts_no_changes().play().unwrap(), None);
}

#[test]
fn a_session_ends_while_the_store_is_full() {
    assert_eq!(recorded::a_session_ends_while_the_store_is_full().play().unwrap(), None);
}

#[test]
fn a_worker_stays_current_where_the_store_accepts_changes_for_a_moment() {
    let scenario = recorded::a_worker_stays_current_where_the_store_accepts_changes_for_a_moment();
    assert_eq!(scenario.play().unwrap(), None);
}

#[test]
fn a_stream_goes_on_whose_second_question_was_answered_before_its_first() {
    let scenario = recorded::a_stream_goes_on_whose_second_question_was_answered_before_its_first();
    assert_eq!(scenario.play().unwrap(), None);
}

#[test]
fn a_stream_ends_for_what_its_worker_was_told_of_a_later_version() {
    let scenario = recorded::a_stream_ends_for_what_its_worker_was_told_of_a_later_version();
    assert_eq!(scenario.play().unwrap(), None);
}

#[test]
fn a_token_that_was_read_may_be_asked_about_though_an_older_question_knew_of_none() {
    let scenario = recorded::a_token_that_was_read_may_be_asked_about_though_an_older_question_knew_of_none();
    assert_eq!(scenario.play().unwrap(), None);
}
