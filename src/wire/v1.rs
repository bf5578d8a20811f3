//! The messages and services of `turnstile.v1`, generated from `proto/turnstile/v1`.

#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    rustdoc::all,
    clippy::all,
    clippy::pedantic,
    clippy::wildcard_enum_match_arm,
    clippy::allow_attributes_without_reason,
    clippy::disallowed_methods,
    reason = "generated code keeps its own style"
)]

tonic::include_proto!("turnstile.v1");

/// The definitions themselves, for reflection.
#[cfg(feature = "cli")]
pub(crate) const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("turnstile.v1");
