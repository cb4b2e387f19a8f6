//! `?wait=applied`: an answer that comes when every worker knows.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use session_gate_protocol::{FeedCursor, Receipt};
use utoipa::{IntoParams, ToSchema};

use super::{Api, extract::Query, reply::NO_STORE};
use crate::service::Told;

/// Query of each call that ends something.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// `applied`: answer when every worker has applied the change, or has stopped trusting what it knew
    /// before; and say which have not, after at most the longest such time and a second.
    pub(super) wait: Option<WaitFor>,
}

/// What to wait for.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum WaitFor {
    /// Until every worker knows.
    Applied,
}

impl Query for Wait {
    const NUMBERS: &[&str] = &[];
}

/// What a call did; and with `?wait=applied`, who does not know of it yet.
#[derive(Serialize, ToSchema)]
pub(super) struct WithReceipt<T> {
    #[serde(flatten)]
    body: T,
    /// With `?wait=applied`: who does not know of it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
}

impl Wait {
    /// Waits, if it is asked for, until every worker knows of a change. Where there was nothing to tell
    /// everybody knows already.
    pub(super) async fn receipt(&self, api: &Api, at: Option<FeedCursor>) -> Option<Receipt> {
        match (self.wait?, at) {
            (WaitFor::Applied, Some(at)) => Some(api.service.receipt(at).await),
            (WaitFor::Applied, None) => Some(Receipt { applied: true, pending: Vec::new(), reason: None }),
        }
    }

    /// The answer of a call that has nothing to say: the receipt if it is asked for, else no content.
    pub(super) async fn receipt_alone(&self, api: &Api, at: Option<FeedCursor>) -> Response {
        match self.receipt(api, at).await {
            Some(receipt) => ([NO_STORE], Json(receipt)).into_response(),
            None => StatusCode::NO_CONTENT.into_response(),
        }
    }

    /// What was done, and the receipt if it is asked for.
    pub(super) async fn with_receipt<T>(&self, api: &Api, told: Told<T>) -> WithReceipt<T> {
        WithReceipt { body: told.done, receipt: self.receipt(api, told.at).await }
    }
}
