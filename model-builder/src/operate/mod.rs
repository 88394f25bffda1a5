//! Operates a deployment: publishing, promotion, rollback, cost, explanation.

pub(crate) mod cost;
pub(crate) mod explain;
pub(crate) mod inspect;
pub(crate) mod promote;
pub(crate) mod publish;
pub(crate) mod rollback;
pub(crate) mod score;
