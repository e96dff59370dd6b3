//! The nine EC2 calls a session needs, on the SDK's own runtime (no aws-sdk-ec2: see docs/decisions).
//!
//! The wire is EC2's query protocol, version 2016-11-15, answered in XML. Signing, retries, time-outs, clock
//! and credentials are the SDK's, from the same configuration as every other service.

mod answers;
mod client;
mod interfaces;
mod network;
mod security_group;

pub(crate) use client::Ec2;
