//! The decision about a request.
