//! Measurements of a whole deployment under load: a real Redis, real sidecars, real Envoys, and an
//! upstream in the measuring process, so that one clock serves for all.

pub mod app;
pub mod journal;
pub mod lines;
pub mod load;
