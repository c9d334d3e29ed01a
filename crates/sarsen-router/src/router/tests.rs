//! The router between real sockets: raw clients on one side, raw upstreams on the other.

mod deploy;
mod end;
mod failures;
mod kit;
mod logging;
mod policy;
mod requests;
mod retries;
mod slowness;
mod smuggling;
mod streaming;
mod tunnels;
