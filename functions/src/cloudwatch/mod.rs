//! CloudWatch: where CPU comes from and where scores go.
//!
//! [`limits`] is what it allows, [`plan`] which calls to make within that, `read` and `publish` make them.

pub mod limits;
pub mod plan;
mod publish;
mod read;

use aws_sdk_cloudwatch::Client;

/// CloudWatch in one Region and account, publishing into one namespace.
#[derive(Debug, Clone)]
pub struct CloudWatch {
    client: Client,
    namespace: String,
}

impl CloudWatch {
    /// Reads and publishes through `client`, the latter into `namespace`.
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        Self { client, namespace: namespace.into() }
    }
}
