//! Parts that both wings share: files, times, the account's CPU, models in a bucket, labels,
//! reports.

pub(crate) mod access;
pub(crate) mod cli;
pub(crate) mod cloudwatch;
pub(crate) mod csv;
pub(crate) mod files;
pub(crate) mod history;
pub(crate) mod labels;
pub(crate) mod models;
pub(crate) mod parallel;
pub(crate) mod picture;
pub(crate) mod pointers;
pub(crate) mod report;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod words;
