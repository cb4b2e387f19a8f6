//! What was on the wire before versions were negotiated: new code reads it, and writes the same for who speaks version 1.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use session_gate_protocol::{CheckReply, CheckRequest, Claims, FeedReply, LeaseGrant, LeaseReply, LeaseRequest};

fn comes_back_as_it_was<T: DeserializeOwned + Serialize>(text: &str) -> T {
    let read: T = serde_json::from_str(text).unwrap();
    let recorded: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), recorded);
    read
}

#[test]
fn what_the_first_version_said_is_read_and_said_in_its_form() {
    let reply: FeedReply = comes_back_as_it_was(include_str!("transcripts/feed_reply.json"));
    assert_eq!((reply.protocol, reply.entries.len()), (1, 3));
    let reply: CheckReply = comes_back_as_it_was(include_str!("transcripts/check_reply.json"));
    assert_eq!(reply.session.unwrap().generation, 0);
    comes_back_as_it_was::<CheckRequest>(include_str!("transcripts/check_request.json"));
    let claims: Claims = comes_back_as_it_was(include_str!("transcripts/claims.json"));
    assert_eq!((claims.generation, claims.session_exp), (0, None));
    comes_back_as_it_was::<LeaseRequest>(include_str!("transcripts/lease_request.json"));
    let reply: LeaseReply = comes_back_as_it_was(include_str!("transcripts/lease_reply.json"));
    assert!(matches!(reply.grants.as_slice(), [LeaseGrant::Lease(_), LeaseGrant::Unavailable]));
}

#[test]
fn a_reply_of_a_later_version_is_read_as_far_as_it_is_known() {
    reads_with_more::<FeedReply>(include_str!("transcripts/feed_reply.json"));
    reads_with_more::<CheckReply>(include_str!("transcripts/check_reply.json"));
    reads_with_more::<LeaseReply>(include_str!("transcripts/lease_reply.json"));
}

/// With another member in each object.
fn reads_with_more<T: DeserializeOwned>(recorded: &str) {
    fn add(value: &mut Value) {
        match value {
            Value::Object(members) => {
                // What stands for one of several kinds has one member only.
                if members.len() > 1 {
                    members.insert("later".to_owned(), Value::from(1));
                }
                members.values_mut().for_each(add);
            }
            Value::Array(items) => items.iter_mut().for_each(add),
            _ => {}
        }
    }
    let mut reply: Value = serde_json::from_str(recorded).unwrap();
    add(&mut reply);
    assert!(serde_json::from_value::<T>(reply.clone()).is_ok(), "{reply}");
}
