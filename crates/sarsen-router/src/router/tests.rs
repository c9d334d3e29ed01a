//! The router between real sockets: raw clients on one side, raw upstreams on the other.

mod corpus;
mod deploy;
mod encrypted;
mod end;
mod failures;
mod http2;
mod kit;
mod logging;
mod policy;
mod raw;
mod requests;
mod retries;
mod slowness;
mod smuggling;
mod streaming;
mod tunnels;
