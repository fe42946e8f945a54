//! Sizes as people write them.

use super::{Node, Report};

/// `512KiB`, `20MiB`, `1GiB`, in bytes.
pub(crate) fn size(name: &str, node: &Node, report: &mut Report) -> Option<u64> {
    let text = node.value.text().unwrap_or_default();
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let found = units.iter().find_map(|(unit, shift)| {
        let count = text.strip_suffix(unit)?;
        let is_plain = count.bytes().all(|it| it.is_ascii_digit());
        let count: u64 = count.parse().ok().filter(|_| is_plain)?;
        (1..=1_024).contains(&count).then_some(count << shift)
    });
    if found.is_none() {
        report
            .error(
                node.span,
                format!("`{name}:` is a whole number from 1 to 1024 and a unit"),
            )
            .help("write 512KiB, 20MiB or 1GiB");
    }
    found
}
