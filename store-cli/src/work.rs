//! Long work as the command runs it: it can be stopped, and on a terminal it shows how far it is.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use storage_core::{Cancel, Progress, Task};

use crate::globals::ShowProgress;

/// Work that is done within this time shows nothing.
const QUIET: Duration = Duration::from_secs(1);

/// One piece of long work.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) task: Task,
    shown: Arc<AtomicBool>,
    style: Style,
}

/// How progress looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Off,
    /// One line that is written over.
    Live,
    /// A line a second.
    Lines,
}

impl Work {
    /// Begins `operation`, which `cancel` stops.
    pub(crate) fn begin(operation: &'static str, cancel: &Cancel, progress: ShowProgress) -> Self {
        let style = match (progress, io::stderr().is_terminal()) {
            (ShowProgress::Never, _) | (ShowProgress::OnTerminal, false) => Style::Off,
            (_, true) => Style::Live,
            (ShowProgress::Always, false) => Style::Lines,
        };
        let shown = Arc::new(AtomicBool::new(false));
        let mut task = Task::new(operation).cancelled_by(cancel.clone());
        if style != Style::Off {
            let (started, last, shown) = (Instant::now(), AtomicU64::new(0), Arc::clone(&shown));
            task = task.reporting(Arc::new(move |progress| {
                let elapsed = started.elapsed();
                let second = elapsed.as_secs();
                let due = style == Style::Live || last.swap(second, Ordering::Relaxed) != second;
                if elapsed >= QUIET && due {
                    shown.store(true, Ordering::Relaxed);
                    show(style, &text(operation, progress, elapsed));
                }
            }));
        }
        Work { task, shown, style }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.style == Style::Live && self.shown.load(Ordering::Relaxed) {
            show(Style::Live, "");
        }
    }
}

fn show(style: Style, text: &str) {
    let mut stderr = io::stderr().lock();
    // Progress that can't be shown is no reason to fail.
    let _ = match style {
        Style::Off => Ok(()),
        Style::Live => write!(stderr, "\r{text}\x1b[K").and_then(|()| stderr.flush()),
        Style::Lines => writeln!(stderr, "{text}"),
    };
}

fn text(operation: &str, progress: Progress, elapsed: Duration) -> String {
    let rate = u128::from(progress.bytes) * 1000 / elapsed.as_millis().max(1);
    format!(
        "{operation}: {} in {} entries, {:.0} s, {}/s",
        size(progress.bytes),
        progress.entries,
        elapsed.as_secs_f64(),
        size(rate as u64)
    )
}

/// A number of bytes as people read it.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 2)) > 0 {
        unit += 1;
    }
    let tenths = (u128::from(bytes) * 10) >> (10 * (unit + 1));
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
