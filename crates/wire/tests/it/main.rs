//! The codecs from outside.

mod dynamic;
mod fuzz;
mod json;
mod members;
mod model;
mod property;
mod signatures;
mod validation;
mod vectors;
