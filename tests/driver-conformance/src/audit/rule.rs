//! The rules, and why some of them can't be broken unseen.

/// A rule of locking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Reading changes nothing that others see.
    R1,
    /// Attaching is exclusive.
    R2,
    /// Look and act under one hold.
    R3,
    /// Say it before you do it.
    R4,
    /// One order.
    R5,
    /// Holds are short.
    R6,
    /// No second hold.
    R7,
    /// Death leaves nothing to repair by hand.
    R8,
    /// Nothing escapes the guard.
    R9,
    /// One protocol.
    R10,
}

impl Rule {
    /// All of them.
    pub const ALL: &'static [Rule] =
        &[Rule::R1, Rule::R2, Rule::R3, Rule::R4, Rule::R5, Rule::R6, Rule::R7, Rule::R8, Rule::R9, Rule::R10];

    /// Its number, as text and JSON show it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::R1 => "R1",
            Rule::R2 => "R2",
            Rule::R3 => "R3",
            Rule::R4 => "R4",
            Rule::R5 => "R5",
            Rule::R6 => "R6",
            Rule::R7 => "R7",
            Rule::R8 => "R8",
            Rule::R9 => "R9",
            Rule::R10 => "R10",
        }
    }

    /// What it promises.
    pub fn promise(self) -> &'static str {
        match self {
            Rule::R1 => "reading changes nothing that others see",
            Rule::R2 => "attaching is exclusive",
            Rule::R3 => "look and act under one hold",
            Rule::R4 => "say it before you do it",
            Rule::R5 => "one order",
            Rule::R6 => "holds are short",
            Rule::R7 => "no second hold",
            Rule::R8 => "death leaves nothing to repair by hand",
            Rule::R9 => "nothing escapes the guard",
            Rule::R10 => "one protocol",
        }
    }

    /// Why it is kept by construction, beside what is seen: none where it isn't.
    pub fn construction(self) -> Option<&'static str> {
        match self {
            Rule::R5 => Some("a wrong order of the store's locks doesn't compile; a driver is given none to take"),
            Rule::R7 => Some("one key a thread, which every wait borrows; a driver is given no lock to take"),
            Rule::R9 => Some("tokens borrow their guard and stay in their thread; a driver gets them for one call"),
            _ => None,
        }
    }
}
