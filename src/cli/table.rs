//! Tables of JSON objects: for a terminal, and as CSV for spreadsheets.

use serde_json::Value;

use super::status::visible;

/// A column: the field that it shows, its title, and whether it holds amounts.
pub(super) struct Column {
    pub(super) field: &'static str,
    pub(super) title: &'static str,
    pub(super) is_amount: bool,
}

/// A column of words.
pub(super) const fn words(field: &'static str, title: &'static str) -> Column {
    Column {
        field,
        title,
        is_amount: false,
    }
}

/// A column of amounts.
pub(super) const fn amounts(field: &'static str, title: &'static str) -> Column {
    Column {
        field,
        title,
        is_amount: true,
    }
}

/// What a field says; nothing where it is absent.
pub(super) fn field(row: &Value, name: &str) -> String {
    match row.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The list in a field; empty where there is none.
pub(super) fn list<'v>(said: &'v Value, name: &str) -> &'v [Value] {
    let list = said.get(name).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// For a terminal: aligned, and with nothing in it that a terminal would obey.
pub(super) fn text(columns: &[Column], rows: &[Value]) -> String {
    let titles = columns.iter().map(|it| it.title.to_owned()).collect();
    let cells = |row: &Value| {
        let shown = columns.iter().map(|it| visible(&field(row, it.field)));
        shown.map(|it| it.replace('\n', " ")).collect()
    };
    let mut lines: Vec<Vec<String>> = vec![titles];
    lines.extend(rows.iter().map(cells));
    let length = |it: &String| it.chars().count();
    let widths: Vec<usize> = (0..columns.len())
        .map(|ix| {
            let column = lines.iter().filter_map(|line| line.get(ix));
            column.map(length).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for ((cell, column), width) in line.iter().zip(columns).zip(&widths) {
            let padded = if column.is_amount {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
            shown.push_str(&padded);
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// As CSV (RFC 4180). A cell of words that a spreadsheet would calculate gets a `'` in front.
pub(super) fn csv(columns: &[Column], rows: &[Value]) -> String {
    let titles: Vec<&str> = columns.iter().map(|it| it.field).collect();
    let mut text = titles.join(",");
    for row in rows {
        text.push('\n');
        for (ix, column) in columns.iter().enumerate() {
            if ix > 0 {
                text.push(',');
            }
            let cell = field(row, column.field);
            let is_number = row.get(column.field).is_some_and(Value::is_number);
            text.push_str(&if is_number { cell } else { quoted(&cell) });
        }
    }
    text
}

fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if is_formula {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if cell.contains([',', '"', '\n', '\r', '\'']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [Column; 3] = [
        words("name", "NAME"),
        amounts("spent", "SPENT"),
        words("why", "WHY"),
    ];

    #[test]
    fn a8_no_cell_is_a_formula_to_a_spreadsheet_or_an_order_to_a_terminal() {
        let rows = [
            json!({ "name": "=cmd|' /C calc'!A0", "spent": -1.5, "why": "a,\"b\"" }),
            json!({ "name": "+1", "spent": 20, "why": "@x" }),
            json!({ "name": "-2\u{1b}[2J", "spent": null, "why": "two\nlines" }),
            json!({ "name": "plain", "spent": 3 }),
        ];
        assert_eq!(
            csv(&COLUMNS, &rows),
            "name,spent,why\n\
             \"'=cmd|' /C calc'!A0\",-1.5,\"a,\"\"b\"\"\"\n\
             \"'+1\",20,\"'@x\"\n\
             \"'-2\u{1b}[2J\",,\"two\nlines\"\n\
             plain,3,"
        );
        assert_eq!(
            text(&COLUMNS, &rows[2..]),
            "NAME         SPENT  WHY\n\
             -2\\u{1b}[2J         two lines\n\
             plain            3"
        );
    }
}
