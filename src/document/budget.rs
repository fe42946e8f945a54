//! How large a document may be: enough for what it is for, and no more than a machine reads at once.

/// How large one document may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    nodes: usize,
}

impl Budget {
    /// Of a document that people write.
    pub const SETTINGS: Self = Self::of_nodes(50_000);

    /// Of this many nodes: scalars, lists and mappings.
    pub const fn of_nodes(nodes: usize) -> Self {
        Self { nodes }
    }

    /// The most nodes.
    pub const fn nodes(self) -> usize {
        self.nodes
    }

    /// The most bytes: 64 for each node.
    pub const fn bytes(self) -> usize {
        self.nodes.saturating_mul(64)
    }

    /// The mistake of a text that is longer than that.
    pub fn too_large(self) -> String {
        format!(
            "the file has more than {} bytes, which is the limit",
            self.bytes()
        )
    }
}

impl Default for Budget {
    /// Of a policy file, which a program may have written.
    fn default() -> Self {
        Self::of_nodes(1_000_000)
    }
}
