//! Access to the account whose credentials are present.

use anyhow::{Result, anyhow};
use deepguard_aws::ports::{CallError, ObjectError};
use deepguard_aws::s3::S3;

/// Calls `work` with the S3 of the account whose credentials are present.
pub(crate) fn with_aws<T>(
    work: impl AsyncFnOnce(aws_config::SdkConfig, S3) -> Result<T>,
) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (config, from) = deepguard_aws::client::checked_config().await?;
        let s3 = S3::new(deepguard_aws::client::s3(&config));
        work(config, s3).await.map_err(|error| match is_of_aws(&error) {
            true => anyhow!("{error:#} (called with {from})"),
            false => error,
        })
    })
}

/// Whether a call to AWS failed.
fn is_of_aws(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<CallError>() || cause.is::<ObjectError>())
}
