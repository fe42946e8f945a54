//! A field of a test, which a head can stand in for.

use crate::document::{Node, Span};

/// What stands in a field.
#[derive(Clone, Debug, Default)]
pub(super) enum Slot<T> {
    /// It is not there.
    #[default]
    Absent,
    /// It is no good, which has been said.
    Bad,
    /// This, there.
    Is(T, Span),
}

impl<T> Slot<T> {
    pub(super) fn read(node: Option<&Node>, read: impl FnOnce(&Node) -> Option<T>) -> Self {
        match node {
            None => Self::Absent,
            Some(node) => read(node).map_or(Self::Bad, |it| Self::Is(it, node.span)),
        }
    }

    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    pub(super) fn span(&self) -> Option<Span> {
        match self {
            Self::Is(_, span) => Some(*span),
            Self::Absent | Self::Bad => None,
        }
    }

    /// This, or the head's.
    pub(super) fn or(self, head: &Self) -> Self
    where
        T: Clone,
    {
        match self {
            Self::Absent => head.clone(),
            own @ (Self::Bad | Self::Is(..)) => own,
        }
    }

    /// `Err` where it is bad.
    pub(super) fn value(self) -> Result<Option<T>, Bad> {
        match self {
            Self::Absent => Ok(None),
            Self::Bad => Err(Bad),
            Self::Is(it, _) => Ok(Some(it)),
        }
    }
}

/// A mistake that has been reported.
pub(super) struct Bad;
