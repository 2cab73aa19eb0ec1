//! What was measured, beside what is promised.

use crate::measure::Samples;
use crate::snapshots::Snapshots;

/// Operations and the most that ours may take of the peer's time.
const LIMITS: [(&str, Option<f64>); 8] = [
    ("exists", Some(0.5)),
    ("create", Some(0.6)),
    ("mount", Some(0.6)),
    ("release", Some(0.6)),
    ("delete", Some(0.6)),
    ("import", Some(0.6)),
    ("diff", Some(0.5)),
    ("delete of it", None),
];

/// Prints everything; says whether every limit is kept.
pub(crate) fn print(samples: &Samples, snapshots: &Snapshots, memory_kib: u64) -> bool {
    let mut good = true;
    println!("milliseconds, medians; the ratio is ours with durability none to the peer's");
    println!(
        "{:<14}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}",
        "operation", "bare", "peer", "none", "default", "ratio", "limit"
    );
    for (operation, limit) in LIMITS {
        let of = |who: &str| samples.median(operation, who);
        let text = |who: &str| of(who).map_or_else(|| "-".to_owned(), |time| format!("{time:.2}"));
        let ratio = of("none").zip(of("peer")).map(|(ours, theirs)| ours / theirs);
        let kept = ratio.zip(limit).is_none_or(|(ratio, limit)| ratio <= limit);
        good &= kept;
        println!(
            "{operation:<14}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}{}",
            text("bare"),
            text("peer"),
            text("none"),
            text("default"),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            limit.map_or_else(String::new, |limit| format!("{limit:.1}")),
            if kept { "" } else { "  missed" },
        );
    }
    println!(
        "bare: GNU tar for import, mount(2) and umount2(2) for mount and release, a 1 KiB file and fdatasync for create"
    );
    println!("\npeak memory of the largest process, KiB; the limit is {memory_kib}");
    for operation in ["import", "diff"] {
        let of = |who: &str| samples.peak(operation, who).unwrap_or(0);
        let kept = of("none").max(of("default")) <= memory_kib;
        good &= kept;
        let missed = if kept { "" } else { "  missed" };
        println!("{operation:<14}{:>10}{:>10}{:>10}{:>10}{missed}", "-", of("peer"), of("none"), of("default"));
    }
    println!("\nsnapshots in one process, alone and beside a writer ({} writes)", snapshots.writes);
    let (check, lookups) = (snapshots.check, snapshots.lookups);
    let quick = check.iter().all(|time| *time <= 3.0);
    let many = lookups.iter().all(|count| *count >= 5e6);
    let missed = |kept: bool| if kept { "" } else { "  missed" };
    println!("check that it is current: {:.2} and {:.2} us, limit 3{}", check[0], check[1], missed(quick));
    println!(
        "lookups inside: {:.1} and {:.1} million a second, limit 5{}",
        lookups[0] / 1e6,
        lookups[1] / 1e6,
        missed(many)
    );
    good && quick && many
}
