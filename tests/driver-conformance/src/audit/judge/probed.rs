//! R10: whether our holds keep out who locks as the reference does.

use super::Ledger;
use crate::audit::merge::{Hold, Story, level};
use crate::audit::notes::Note;
use crate::audit::rule::Rule;

pub(super) fn judge(story: &Story, notes: &[Note], ledger: &mut Ledger) {
    let writers: Vec<&Hold> =
        story.holds.iter().filter(|hold| hold.is_exclusive() && hold.level() == level("layers.lock")).collect();
    for note in notes {
        let Note::Asked { from, to, locked, .. } = note else { continue };
        let Some(hold) = writers.iter().find(|hold| hold.surely_covers(*from, *to)) else { continue };
        ledger.checked(&hold.purpose, Rule::R10).saw("questions of a POSIX locker while the layers were held");
        if !*locked {
            let call = story
                .calls
                .iter()
                .rfind(|call| (call.process, call.thread) == (hold.process, hold.thread) && call.begun <= *to);
            let call = call.map_or(hold.purpose.clone(), |call| call.operation.clone());
            let what = "the kernel said that layers.lock is free while it was held exclusively";
            ledger.broken(&hold.purpose, Rule::R10, &call, what);
        }
    }
}
