//! Measurements of a whole deployment under load: a real Redis, real sidecars, real Envoys, and an
//! upstream in the measuring process, so that one clock serves for all.

pub mod api;
pub mod app;
pub mod crowd;
pub mod fleet;
pub mod freeze;
pub mod journal;
pub mod limits;
pub mod lines;
pub mod load;
pub mod logout;
pub mod measure;
pub mod memory;
pub mod output;
pub mod renewal;
pub mod report;
pub mod rounds;
pub mod setting;
pub mod stage;
pub mod stats;
pub mod streams;
