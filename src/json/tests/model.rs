//! What changes should make of a document, for the tests beside it and for `fuzz/fuzz_targets/json.rs`.

use std::collections::HashMap;

use serde_json::{Value, json};

// Of this crate in the one, of the library in the other.
use super::{Document, Edits, Node};

/// A change that can be asked for.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Replace(Value),
    Insert(String, Value),
    Append(Value),
}

/// A document that is changed, and beside it a value that is changed the same way, the simple way.
pub(crate) struct Changing<'t> {
    /// All values of the document, by JSON Pointer (RFC 6901).
    nodes: Vec<(String, Node<'t>)>,
    edits: Edits<'t>,
    model: Model,
}

/// What the document should say.
struct Model {
    value: Value,
    /// Where changes were asked for.
    touched: Vec<String>,
    /// What is gone, with all that was inside.
    replaced: Vec<String>,
}

impl<'t> Changing<'t> {
    /// Begins with what a document says.
    pub(crate) fn new(document: &Document<'t>, value: Value) -> Self {
        let mut nodes = Vec::new();
        all_of(document.root(), String::new(), &mut nodes);
        Self {
            nodes,
            edits: Edits::new(document),
            model: Model {
                value,
                touched: Vec::new(),
                replaced: Vec::new(),
            },
        }
    }

    /// How many values it has; the root is one.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Changes one of the values.
    pub(crate) fn change(&mut self, at: usize, change: &Change) {
        let (pointer, node) = &self.nodes[at];
        self.model.change(pointer, change);
        match change {
            Change::Replace(value) => self.edits.replace(*node, value),
            Change::Insert(name, value) => self.edits.insert(*node, name, value),
            Change::Append(value) => self.edits.append(*node, value),
        }
    }

    /// Writes the document, and checks that it says what the model does and has all else as it was spelled.
    pub(crate) fn finish(self) -> String {
        let model = self.model;
        assert_eq!(self.edits.is_empty(), model.touched.is_empty());
        let written = self.edits.write();
        let document = Document::parse(written.as_bytes()).expect(&written);
        assert_eq!(document.root().to_value(), model.value, "{written}");
        let read: Value = serde_json::from_str(&written).expect(&written);
        assert_eq!(read, model.value, "{written}");

        let mut after = Vec::new();
        all_of(document.root(), String::new(), &mut after);
        let after: HashMap<_, _> = after.into_iter().collect();
        for (pointer, node) in &self.nodes {
            if model.leaves_alone(pointer) {
                assert_eq!(after[pointer].raw(), node.raw(), "{pointer} of {written}");
            }
        }
        written
    }
}

impl Model {
    fn change(&mut self, pointer: &str, change: &Change) {
        self.touched.push(pointer.to_owned());
        if self.replaced.iter().any(|it| is_inside(pointer, it)) {
            return;
        }
        let value = self.value.pointer_mut(pointer).expect(pointer);
        match change {
            Change::Insert(name, it) if value.is_object() => {
                value[name] = it.clone();
                self.replaced.push(member(pointer, name));
            }
            Change::Append(it) if value.is_array() => {
                value.as_array_mut().unwrap().push(it.clone());
            }
            Change::Replace(it) => {
                *value = it.clone();
                self.replaced.push(pointer.to_owned());
            }
            Change::Insert(name, it) => {
                *value = json!({ name: it });
                self.replaced.push(pointer.to_owned());
            }
            Change::Append(it) => {
                *value = json!([it]);
                self.replaced.push(pointer.to_owned());
            }
        }
    }

    fn leaves_alone(&self, pointer: &str) -> bool {
        let changed = self.touched.iter().chain(&self.replaced);
        !changed
            .clone()
            .any(|it| it == pointer || is_inside(it, pointer))
            && !self.replaced.iter().any(|it| is_inside(pointer, it))
    }
}

fn all_of<'t>(node: Node<'t>, pointer: String, all: &mut Vec<(String, Node<'t>)>) {
    all.push((pointer.clone(), node));
    for (at, item) in node.items().into_iter().flatten().enumerate() {
        all_of(item, format!("{pointer}/{at}"), all);
    }
    for (name, value) in node.members().into_iter().flatten() {
        all_of(value, member(&pointer, &name), all);
    }
}

fn member(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn is_inside(inner: &str, outer: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.starts_with('/'))
}
