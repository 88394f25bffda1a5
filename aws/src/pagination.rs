//! The way through the pages of an answer.

use std::collections::HashSet;

use crate::ports::CallError;

/// The way through the pages of an answer.
pub(crate) struct Pages {
    operation: &'static str,
    token: Option<String>,
    seen: HashSet<String>,
}

impl Pages {
    pub(crate) fn of(operation: &'static str) -> Self {
        Self { operation, token: None, seen: HashSet::new() }
    }

    /// The token for the next page.
    pub(crate) fn token(&self) -> Option<String> {
        self.token.clone()
    }

    /// Whether there is no page after the one that came with `next`.
    ///
    /// A repeated token is an error: the pages would never end.
    pub(crate) fn end_with(&mut self, next: Option<String>) -> Result<bool, CallError> {
        self.token = next.filter(|token| !token.is_empty());
        match &self.token {
            Some(token) if !self.seen.insert(token.clone()) => {
                let why =
                    "it answered with a NextToken that it had given before: its pages do not end"
                        .into();
                Err(CallError { operation: self.operation, why })
            }
            token => Ok(token.is_none()),
        }
    }
}
