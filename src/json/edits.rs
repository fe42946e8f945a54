//! Changes to a document, collected and then written once.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::document::{Document, Kind, Node};

/// Changes to a document, written once. What is not changed is copied byte for byte.
///
/// Changes to one value take effect in the order in which they are asked for. None can make the text invalid or put a
/// key into it twice:
///
/// - What is replaced is gone with all that was inside: changes to values inside it, before or after, change nothing.
/// - As in a JSON Merge Patch (RFC 7396), what is no object becomes one by [`insert`](Self::insert), and what is no list
///   becomes one by [`append`](Self::append).
/// - A node of another document does not stand in this text: a change to it changes nothing.
///
/// The depth of what is put in is not bounded.
pub struct Edits<'t> {
    text: &'t str,
    /// By the offset of the value, which no two values share.
    edits: BTreeMap<usize, (Node<'t>, Edit)>,
}

enum Edit {
    Replace(Value),
    /// Put before the closing bracket of the list or object.
    Add(Vec<Added>),
}

struct Added {
    /// In an object.
    name: Option<String>,
    value: Value,
}

/// A piece of the text that gives way to another.
struct Splice {
    start: usize,
    end: usize,
    text: String,
}

impl<'t> Edits<'t> {
    /// No changes yet.
    pub fn new(document: &Document<'t>) -> Self {
        Self {
            text: document.text(),
            edits: BTreeMap::new(),
        }
    }

    /// Puts a value in the place of another.
    pub fn replace(&mut self, node: Node<'t>, value: &Value) {
        if let Some(at) = node.offset_in(self.text) {
            self.edits.insert(at, (node, Edit::Replace(value.clone())));
        }
    }

    /// Gives an object a member, after those that it has; one that is there gets the value instead.
    pub fn insert(&mut self, object: Node<'t>, name: &str, value: &Value) {
        let one = || Value::Object(Map::from_iter([(name.to_owned(), value.clone())]));
        if let Some(whole) = self.replaced(object) {
            match whole.as_object_mut() {
                Some(members) => {
                    members.insert(name.to_owned(), value.clone());
                }
                None => *whole = one(),
            }
        } else if let Some(member) = object.member(name) {
            self.replace(member, value);
        } else if object.kind() == Kind::Object {
            self.add(object, Some(name), value);
        } else {
            self.replace(object, &one());
        }
    }

    /// Puts a value at the end of a list.
    pub fn append(&mut self, list: Node<'t>, value: &Value) {
        let one = || Value::Array(vec![value.clone()]);
        if let Some(whole) = self.replaced(list) {
            match whole.as_array_mut() {
                Some(items) => items.push(value.clone()),
                None => *whole = one(),
            }
        } else if list.kind() == Kind::List {
            self.add(list, None, value);
        } else {
            self.replace(list, &one());
        }
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The document with the changes.
    pub fn write(self) -> String {
        let edits = self.edits.into_iter();
        let mut splices: Vec<Splice> = edits
            .map(|(start, (node, edit))| edit.splice(start, node))
            .collect();
        // An addition goes to the end of its object, after what was changed in it.
        splices.sort_by_key(|splice| splice.start);

        let longer: usize = splices.iter().map(|splice| splice.text.len()).sum();
        let mut written = String::with_capacity(self.text.len() + longer);
        let mut done = 0;
        for splice in &splices {
            // No such piece: it lies in a value that was replaced.
            let Some(untouched) = self.text.get(done..splice.start) else {
                continue;
            };
            written.push_str(untouched);
            written.push_str(&splice.text);
            done = splice.end;
        }
        written.push_str(self.text.get(done..).unwrap_or_default());
        written
    }

    /// What stands in the place of a value by now, if it was replaced.
    fn replaced(&mut self, node: Node<'t>) -> Option<&mut Value> {
        match self.edits.get_mut(&node.offset_in(self.text)?) {
            Some((_, Edit::Replace(value))) => Some(value),
            Some((_, Edit::Add(_))) | None => None,
        }
    }

    fn add(&mut self, to: Node<'t>, name: Option<&str>, value: &Value) {
        let Some(at) = to.offset_in(self.text) else {
            return;
        };
        let (_, edit) = self
            .edits
            .entry(at)
            .or_insert_with(|| (to, Edit::Add(Vec::new())));
        // What was replaced does not come here.
        if let Edit::Add(all) = edit {
            let same = |it: &&mut Added| name.is_some() && it.name.as_deref() == name;
            match all.iter_mut().find(same) {
                Some(added) => added.value = value.clone(),
                None => all.push(Added {
                    name: name.map(str::to_owned),
                    value: value.clone(),
                }),
            }
        }
    }
}

impl Edit {
    fn splice(self, start: usize, node: Node<'_>) -> Splice {
        match self {
            Self::Replace(value) => Splice {
                start,
                end: start + node.raw().len(),
                text: value.to_string(),
            },
            Self::Add(all) => {
                let inner = node
                    .raw()
                    .strip_suffix([']', '}'])
                    .unwrap_or_default()
                    .trim_end();
                let at = start + inner.len();
                // Nothing but the opening bracket.
                let mut first = inner.len() == 1;
                let mut text = String::new();
                for Added { name, value } in all {
                    if !std::mem::take(&mut first) {
                        text.push(',');
                    }
                    if let Some(name) = name {
                        text.push_str(&Value::String(name).to_string());
                        text.push(':');
                    }
                    text.push_str(&value.to_string());
                }
                Splice {
                    start: at,
                    end: at,
                    text,
                }
            }
        }
    }
}

impl fmt::Debug for Edits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edits({} values)", self.edits.len())
    }
}
