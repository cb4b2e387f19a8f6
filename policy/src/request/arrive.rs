//! A request's headers have come.

use std::rc::Rc;

use session_gate_protocol::DenyReason;

use super::{
    authenticate::{Found, authenticate, check_denylist, find_token},
    command_context::CommandContext,
    conclude::conclude,
    context::StepContext,
    effect::Effect,
    pending::{Next, PendingRequest},
    phase::Phase,
    preflight,
};
use crate::{
    host::Host,
    http::{
        credential,
        headers::Headers,
        interpretations::{RequestInterpretations, Unroutable},
        page_load::Navigation,
    },
    response::denial::ReplyStyle,
};

/// Finds the rule, and decides as far as that can be done at once.
pub(super) fn arrive<H: Host>(request: &Headers, cx: &mut StepContext<'_, H>, effects: &mut Vec<Effect>) -> Phase {
    let mut held = PendingRequest {
        route: Rc::clone(cx.config.routes.fallback()),
        style: ReplyStyle::of(request),
        login_target: None,
        unroutable: None,
        user_agent: String::from_utf8_lossy(request.get("user-agent").unwrap_or_default()).into(),
        token: Rc::from(""),
        renewed: None,
        source: None,
        is_cross_site: false,
        is_upgrade: request.has("upgrade"),
        key_headers: Vec::new(),
        limit_rounds: 0,
        limit_record: Default::default(),
        cleaning: Vec::new(),
        command: None,
    };
    // First, since it needs no rule: to find that costs more than to see who asks.
    if let Err(reason) = check_denylist(&held, cx) {
        return conclude(held, Err(reason), cx, effects);
    }
    if let Some(route) = preflight::rule_for(request, cx.config).transpose() {
        return match route {
            Ok(route) => preflight::answer(request, PendingRequest { route, ..held }, cx, effects),
            Err(unroutable) => refuse(held, unroutable, cx, effects),
        };
    }
    let interpretations = match RequestInterpretations::of(request, cx.config.interpretations).and_then(|read| {
        held.route = Rc::clone(cx.config.routes.find(&read)?);
        Ok(read)
    }) {
        Ok(interpretations) => interpretations,
        Err(unroutable) => return refuse(held, unroutable, cx, effects),
    };
    prepare(&mut held, request, &interpretations, cx);
    let decision = match find_token(request, &interpretations, &mut held, cx) {
        Ok(Found::Permit(permit)) => Ok(Next::Pass(permit)),
        Ok(Found::Token) => authenticate(&mut held, cx, effects),
        Err(reason) => Err::<Next, DenyReason>(reason),
    };
    conclude(held, decision, cx, effects)
}

fn refuse<H: Host>(
    held: PendingRequest,
    unroutable: Unroutable,
    cx: &mut StepContext<'_, H>,
    effects: &mut Vec<Effect>,
) -> Phase {
    conclude(PendingRequest { unroutable: Some(unroutable), ..held }, Err(unroutable.reason), cx, effects)
}

/// The value of a header that is there once. Of several an upstream may take any: by one of them nobody is counted, or a
/// made-up one beside it would be a way around the limit.
fn only<'a>(request: &'a Headers, name: &'a str) -> Option<&'a [u8]> {
    let mut values = request.all(name);
    values.next().filter(|_| values.next().is_none())
}

/// Keeps what is needed later, when the request's headers cannot be read any more.
fn prepare<H: Host>(
    held: &mut PendingRequest,
    request: &Headers,
    readings: &RequestInterpretations,
    cx: &StepContext<'_, H>,
) {
    let policy = &held.route.policy;
    let key_headers = policy.limits.key_headers();
    held.key_headers = key_headers.filter_map(|name| Some((name.to_owned(), only(request, name)?.to_vec()))).collect();
    held.cleaning = cx.config.trusted.removal(request);
    held.cleaning.extend(cx.config.trusted.connection_without_ours(request));
    let parameter = policy.token_query_parameter.as_deref();
    if policy.login.is_some() && held.style.navigation != Navigation::None {
        let target = request.text(":path");
        // A token in it is nothing for the login page.
        held.login_target = target
            .map(|target| parameter.map_or(target.to_owned(), |name| credential::without_parameter(target, name)));
    }
    held.cleaning.extend(credential::removal(request, &cx.config.cookie.name, parameter));
    let command = CommandContext::of(request, readings, (&held.route, &held.style), cx);
    held.cleaning.extend(command.as_ref().and_then(CommandContext::nonce_header));
    held.command = command.map(Box::new);
}
