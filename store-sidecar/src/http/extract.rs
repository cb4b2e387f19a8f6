//! Reads requests strictly: the right media type, a body within the limit, every wrong field named.

use std::{collections::HashMap, time::Duration};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use session_gate_protocol::{
    ETag, FieldProblem, IntrospectionForm, LimitKey, Misfit, Problem, ProblemCode, RuleId, SessionId, TokenForm,
    UserId, collect, first_misfit,
};
use tokio::time::timeout;

use super::{
    MAX_BODY_BYTES, MAX_LEASES_BYTES,
    reply::{ApiError, ApiResult},
};

/// How long a body may take to come in.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A body of `application/json`.
pub(super) struct ApiJson<T>(pub T);

/// The same for a body that may have [`MAX_LEASES_BYTES`].
pub(super) struct LargeJson<T>(pub T);

/// A body that is a JSON merge patch (RFC 7396).
pub(super) struct MergePatch<T>(pub T);

/// A form of RFC 7662 or RFC 7009.
pub(super) struct ApiForm<T>(pub T);

/// What a form can be read into.
pub(super) trait Form: Sized {
    /// The fields that it has.
    const FIELDS: &[&str];

    /// Reads it.
    ///
    /// # Errors
    /// Where a field is missing, given twice or of another form.
    fn of(fields: Fields) -> ApiResult<Self>;
}

/// The fields of a form that it may have, each given once.
pub(super) struct Fields(HashMap<String, String>);

/// The query.
pub(super) struct ApiQuery<T>(pub T);

/// What a query can be read into.
pub(super) trait Query: DeserializeOwned {
    /// The parameters that are numbers.
    const NUMBERS: &[&str];
}

/// The name of an account in the path.
pub(super) struct AccountPath(pub String);

/// The key of a limit in the path.
pub(super) struct LimitPath(pub LimitKey);

/// The rule's id in the path.
pub(super) struct RulePath(pub RuleId);

/// The session id in the path.
pub(super) struct SessionPath(pub SessionId);

/// The user id in the path.
pub(super) struct UserPath(pub UserId);

/// The version that `If-Match` asks for; none where it is absent or `*`.
pub(super) struct IfMatch(pub Option<ETag>);

pub(super) fn invalid(detail: impl Into<String>) -> ApiError {
    Problem { detail: Some(detail.into()), ..Problem::new(ProblemCode::InvalidRequest) }.into()
}

fn wrong_fields(errors: Vec<FieldProblem>) -> ApiError {
    Problem { errors, ..Problem::new(ProblemCode::InvalidRequest) }.into()
}

pub(super) fn wrong_field(field: &str, message: String) -> ApiError {
    wrong_fields(vec![FieldProblem { field: field.to_owned(), message }])
}

// === bodies ===

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        json(&read(request, &["application/json"], MAX_BODY_BYTES).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for LargeJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        json(&read(request, &["application/json"], MAX_LEASES_BYTES).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for MergePatch<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        json(&read(request, &["application/merge-patch+json", "application/json"], MAX_BODY_BYTES).await?).map(Self)
    }
}

impl<S: Send + Sync, T: Form> FromRequest<S> for ApiForm<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        let body = read(request, &["application/x-www-form-urlencoded"], MAX_BODY_BYTES).await?;
        let mut fields = HashMap::new();
        for (name, value) in form_urlencoded::parse(&body).filter(|(name, _)| T::FIELDS.contains(&&**name)) {
            // RFC 6749, section 3.2: no parameter may come twice. Unknown ones are ignored.
            if fields.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(wrong_field(&name, "duplicate field".to_owned()));
            }
        }
        T::of(Fields(fields)).map(Self)
    }
}

impl Fields {
    /// That field, if it is given.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn token(&mut self) -> ApiResult<String> {
        let token = self.0.remove("token").filter(|token| !token.is_empty());
        token.ok_or_else(|| wrong_field("token", "is missing".to_owned()))
    }

    /// RFC 7009, section 2.1, and RFC 7662, section 2.1: it may be ignored.
    fn hint(&mut self) -> Option<String> {
        self.0.remove("token_type_hint")
    }
}

impl Form for TokenForm {
    const FIELDS: &[&str] = &["token", "token_type_hint"];

    fn of(mut fields: Fields) -> ApiResult<Self> {
        Ok(Self { token: fields.token()?, token_type_hint: fields.hint() })
    }
}

impl Form for IntrospectionForm {
    const FIELDS: &[&str] = &["count_as_use", "token", "token_type_hint"];

    fn of(mut fields: Fields) -> ApiResult<Self> {
        let count_as_use = match fields.0.remove("count_as_use").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(wrong_field("count_as_use", "must be true or false".to_owned())),
        };
        Ok(Self { token: fields.token()?, token_type_hint: fields.hint(), count_as_use })
    }
}

/// The body, if it is of an allowed media type and within the limit that the router sets, which is `max_bytes`.
async fn read(request: Request, allowed: &[&str], max_bytes: usize) -> ApiResult<Bytes> {
    media_type(request.headers(), allowed)?;
    let read = timeout(BODY_TIMEOUT, Bytes::from_request(request, &())).await;
    let read = read.map_err(|_| invalid(format!("the body must come within {} seconds", BODY_TIMEOUT.as_secs())))?;
    read.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large(max_bytes)
        } else {
            invalid("the body could not be read")
        }
    })
}

pub(super) fn too_large(max_bytes: usize) -> ApiError {
    let detail = format!("a body may have {max_bytes} bytes");
    Problem { detail: Some(detail), ..Problem::new(ProblemCode::PayloadTooLarge) }.into()
}

fn media_type(headers: &HeaderMap, allowed: &[&str]) -> ApiResult<()> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = given.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    // RFC 8259, section 8.1: JSON is UTF-8; a form is read as such, too.
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    if allowed.iter().any(|allowed| essence.eq_ignore_ascii_case(allowed)) && parts.all(is_utf8) {
        return Ok(());
    }
    let detail = format!("allowed: {}; if a charset is named, utf-8", allowed.join(", "));
    Err(Problem { detail: Some(detail), ..Problem::new(ProblemCode::UnsupportedMediaType) }.into())
}

fn json<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    // Straight from the text first: only that notices a member that is given twice.
    let error = match serde_json::from_slice::<T>(body) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    if !error.is_data() {
        return Err(invalid(format!("the body is not JSON, at line {}, column {}", error.line(), error.column())));
    }
    let misfits = match serde_json::from_slice::<Value>(body) {
        Ok(mut value) => collect::<T>(&mut value).1,
        Err(_) => first_misfit::<T>(body).into_iter().collect(),
    };
    match misfits.first() {
        None => {
            let place = format!("at line {}, column {}", error.line(), error.column());
            Err(invalid(format!("a member is given twice, {place}")))
        }
        Some(Misfit { path, message }) if path.is_empty() => Err(invalid(format!("the body {message}"))),
        Some(_) => Err(misfitting(misfits)),
    }
}

fn misfitting(misfits: Vec<Misfit>) -> ApiError {
    wrong_fields(
        misfits.into_iter().map(|misfit| FieldProblem { field: misfit.path, message: misfit.message }).collect(),
    )
}

// === paths, queries and headers ===

impl<S: Send + Sync, T: Query> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let mut given = Map::new();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            let value = match value.parse::<u64>() {
                Ok(number) if T::NUMBERS.contains(&&*name) => Value::from(number),
                _ => Value::from(value),
            };
            if given.insert(name.clone().into_owned(), value).is_some() {
                return Err(wrong_field(&name, "is given twice".to_owned()));
            }
        }
        let mut given = Value::Object(given);
        match collect::<T>(&mut given) {
            (Some(query), misfits) if misfits.is_empty() => Ok(Self(query)),
            (_, misfits) => Err(misfitting(misfits)),
        }
    }
}

async fn path<S: Send + Sync>(parts: &mut Parts, state: &S) -> ApiResult<String> {
    let wrong = || invalid("the path is not percent-encoded UTF-8");
    // Decoded, a percent sign without two digits behind it would stay, and name something else.
    if !is_percent_encoded(parts.uri.path()) {
        return Err(wrong());
    }
    let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| wrong())?;
    Ok(text)
}

/// Whether each percent sign has two hexadecimal digits behind it (RFC 3986, section 2.1).
fn is_percent_encoded(path: &str) -> bool {
    let is_escape =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    path.split('%').skip(1).all(is_escape)
}

impl<S: Send + Sync> FromRequestParts<S> for AccountPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        path(parts, state).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LimitPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let key = path(parts, state).await?.parse::<LimitKey>();
        key.map(Self).map_err(|error| wrong_field("key", error.to_string()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RulePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let id = path(parts, state).await?.parse::<RuleId>();
        id.map(Self).map_err(|error| wrong_field("rule_id", error.to_string()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        // No session has an id that is none.
        let id = path(parts, state).await?.parse().map_err(|_| crate::service::ServiceError::SessionNotFound)?;
        Ok(Self(id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let id = path(parts, state).await?.parse::<UserId>();
        id.map(Self).map_err(|error| wrong_field("user_id", error.to_string()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let mut values = parts.headers.get_all(header::IF_MATCH).iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        match value.to_str() {
            Ok("*") if values.next().is_none() => Ok(Self(None)),
            Ok(text) if values.next().is_none() => {
                text.parse().map(|etag| Self(Some(etag))).map_err(|error| invalid(error.to_string()))
            }
            _ => Err(invalid("If-Match must be one ETag as GET gave it")),
        }
    }
}
