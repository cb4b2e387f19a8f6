//! What an HTTP message says: read from its headers, and changed there.

pub mod account;
pub mod authority;
pub mod cors;
pub mod credential;
pub mod csrf;
pub mod header_value;
pub mod headers;
pub mod interpretations;
mod method;
pub mod name_set;
pub mod page_load;
pub mod path;
pub mod proof;
pub mod scheme;
pub mod security_headers;
pub mod session_headers;
pub mod upstream_interpretations;
