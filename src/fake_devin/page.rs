//! Cursor paging (Devin's API reference, pagination): `first` and `after` in,
//! `{items, end_cursor, has_next_page, total}` out.
//!
//! A cursor names the last entry that was handed out, not a position: entries that arrive between
//! two pages neither repeat nor hide others.

use serde_json::{Value, json};

use super::answer::{Answer, Reply};
use super::call::Query;
use super::ids::{hex, unhex};
use super::problem::Problem;

const LARGEST: i64 = 200;
const USUAL: i64 = 100;

/// Entries with the ids that cursors are made from, in list order.
pub(super) type Entries = Vec<(String, Value)>;

/// The page that the query asks for.
pub(super) fn page(entries: Entries, query: &Query) -> Reply {
    answer(entries, query, None, |item| item)
}

/// The same, with the list standing under a second key as well (the early API's name for it).
pub(super) fn page_with_alias(entries: Entries, query: &Query, alias: &str) -> Reply {
    answer(entries, query, Some(alias), |item| item)
}

/// The same, rendering no more entries than the page holds.
pub(super) fn page_rendered<K: AsRef<str>, T>(
    entries: Vec<(K, T)>,
    query: &Query,
    render: impl Fn(T) -> Value,
) -> Reply {
    answer(entries, query, None, render)
}

fn answer<K: AsRef<str>, T>(
    entries: Vec<(K, T)>,
    query: &Query,
    alias: Option<&str>,
    render: impl Fn(T) -> Value,
) -> Reply {
    let first = size(query, "first")?;
    let begin = match query.one("after").filter(|cursor| !cursor.is_empty()) {
        None => 0,
        Some(cursor) => unhex(cursor)
            .and_then(|id| {
                entries
                    .iter()
                    .position(|(known, _)| known.as_ref().as_bytes() == id)
            })
            .map(|position| position + 1)
            .ok_or_else(|| Problem::invalid_query("after", "Invalid cursor", "value_error"))?,
    };
    Ok(Answer::ok(&cut(entries, begin, first, alias, render)))
}

/// Paging by `limit` and `offset`, which schedules have kept.
pub(super) fn page_by_offset(entries: Entries, query: &Query) -> Reply {
    let limit = size(query, "limit")?;
    let offset = query.integer("offset")?.unwrap_or(0);
    let begin = usize::try_from(offset).map_err(|_| {
        let message = "Input should be greater than or equal to 0";
        Problem::invalid_query("offset", message, "greater_than_equal")
    })?;
    Ok(Answer::ok(&cut(entries, begin, limit, None, |item| item)))
}

fn size(query: &Query, name: &str) -> Result<usize, Problem> {
    let size = query.integer(name)?.unwrap_or(USUAL);
    let refuse = |message, kind| Err(Problem::invalid_query(name, message, kind));
    if size < 1 {
        return refuse(
            "Input should be greater than or equal to 1",
            "greater_than_equal",
        );
    }
    if size > LARGEST {
        return refuse(
            "Input should be less than or equal to 200",
            "less_than_equal",
        );
    }
    Ok(usize::try_from(size).unwrap_or(1))
}

fn cut<K: AsRef<str>, T>(
    entries: Vec<(K, T)>,
    begin: usize,
    size: usize,
    alias: Option<&str>,
    render: impl Fn(T) -> Value,
) -> Value {
    let total = entries.len();
    let cut: Vec<(K, T)> = entries.into_iter().skip(begin).take(size).collect();
    let end_cursor = cut.last().map(|(id, _)| hex(id.as_ref().as_bytes()));
    let has_next_page = begin + cut.len() < total;
    let items: Vec<Value> = cut.into_iter().map(|(_, item)| render(item)).collect();
    let mut body = json!({
        "items": items,
        "end_cursor": end_cursor,
        "has_next_page": has_next_page,
        "total": total,
    });
    if let (Some(alias), Some(fields)) = (alias, body.as_object_mut()) {
        fields.insert(alias.to_owned(), Value::Array(items));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(range: std::ops::Range<u32>) -> Entries {
        range.map(|n| (n.to_string(), json!(n))).collect()
    }

    fn read(entries: Entries, query: &str) -> Value {
        let answer = page(entries, &Query::parse(Some(query))).unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn a_cursor_survives_new_entries() {
        let first = read(entries(10..20), "first=4");
        assert_eq!(first["items"], json!([10, 11, 12, 13]));
        assert_eq!(first["has_next_page"], json!(true));
        let cursor = first["end_cursor"].as_str().unwrap();
        let second = read(entries(5..20), &format!("first=100&after={cursor}"));
        assert_eq!(second["items"], json!([14, 15, 16, 17, 18, 19]));
        assert_eq!(second["has_next_page"], json!(false));
    }

    #[test]
    fn sizes_and_cursors_are_checked() {
        for query in ["first=0", "first=201", "first=x", "after=zz", "after=00"] {
            assert!(
                page(entries(0..3), &Query::parse(Some(query))).is_err(),
                "{query}"
            );
        }
    }
}
