//! Questions to the sidecar about credentials.

use super::{context::StepContext, effect::Effect};
use crate::{
    host::Host,
    ids::{CallId, Callout},
    metric::Counter,
    sidecar::{checks::Asking, in_flight::Asked},
};

/// Asks the sidecar about a credential, unless another request has asked the same already.
pub(super) fn ask<H: Host>(question: &[u8], cx: &mut StepContext<'_, H>, effects: &mut Vec<Effect>) -> CallId {
    let epoch = cx.feed.as_deref().and_then(|feed| feed.epoch().map(str::to_owned));
    let asked = Asked { at: cx.now.monotonic, epoch };
    let timeout = cx.config.sidecar.as_ref().map(|sidecar| sidecar.timeout).unwrap_or_default();
    match cx.checks.join_or_start(cx.id, cx.sender, question, asked, timeout) {
        Asking::Joined(call) => {
            effects.push(Effect::Count(Counter::CheckShared));
            call
        }
        Asking::Started(call) => {
            let http = cx.config.sidecar.as_ref().map(|sidecar| sidecar.check(question.to_vec()));
            effects.extend(http.map(|http| Effect::Call(Callout::Check(call), http)));
            call
        }
    }
}
