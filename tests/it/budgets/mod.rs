//! Budgets as operators and callers see them.

mod commands;
mod pages;
mod webhook;
