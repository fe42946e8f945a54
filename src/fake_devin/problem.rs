//! Errors as Devin writes them: RFC 9457 problem details whose `detail` old clients read too
//! (Devin's API reference, errors). Validation errors carry the list that FastAPI makes.

use http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, Reply};

/// Why a call fails.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: Value,
}

impl Problem {
    /// Any status with a text for `detail`.
    pub(super) fn new(status: StatusCode, detail: &str) -> Self {
        Self {
            status,
            detail: json!(detail),
        }
    }

    /// 401.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Invalid or expired token")
    }

    /// 403 in the words that a service user of another organization gets to read.
    pub(super) fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "Missing required permission 'org.devins.use' on this organization",
        )
    }

    /// 404, for example `Session not found`.
    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, &format!("{what} not found"))
    }

    /// 404 for a path that leads nowhere.
    pub(super) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }

    /// 422 with everything that is wrong.
    pub(super) fn invalid(errors: Vec<Value>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: Value::Array(errors),
        }
    }

    /// 422 about one query parameter.
    pub(super) fn invalid_query(name: &str, message: &str, kind: &str) -> Self {
        Self::invalid(vec![invalid_at(&["query", name], message, kind)])
    }

    /// What goes over the wire.
    pub(super) fn answer(&self) -> Answer {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if self.detail.is_array()
            && let Some(fields) = body.as_object_mut()
        {
            fields.insert("errors".to_owned(), self.detail.clone());
        }
        Answer::json(self.status, &body).with_type("application/problem+json")
    }
}

/// One entry of a 422's list.
pub(super) fn invalid_at(location: &[&str], message: &str, kind: &str) -> Value {
    json!({ "loc": location, "msg": message, "type": kind })
}

/// The answer, whether it went well or not.
pub(super) fn settle(reply: Reply) -> Answer {
    reply.unwrap_or_else(|problem| problem.answer())
}
