//! The numbers that stand for words at the border.

use crate::archive::{ChangeKind, Whiteouts};
use crate::driver::{Cure, Extent, Home, Refusals, RootFrom};

/// Homes of additional stores begin here.
const ADDITIONAL: u32 = 0x1_0000;

pub(super) fn of_home(home: Home) -> u32 {
    match home {
        Home::Own => 0,
        Home::ImageStore => 1,
        Home::Additional(number) => ADDITIONAL + u32::from(number),
    }
}

pub(super) fn home(code: u32) -> Option<Home> {
    match code {
        0 => Some(Home::Own),
        1 => Some(Home::ImageStore),
        code => u16::try_from(code.checked_sub(ADDITIONAL)?).ok().map(Home::Additional),
    }
}

/// Words that have a number each.
pub(super) trait Coded: Copy + PartialEq + 'static {
    const ALL: &'static [(Self, i32)];

    fn code(self) -> i32 {
        Self::ALL.iter().find(|(word, _)| *word == self).map_or(-1, |&(_, code)| code)
    }

    fn of(code: i32) -> Option<Self> {
        Self::ALL.iter().find(|&&(_, number)| number == code).map(|&(word, _)| word)
    }
}

impl Coded for Extent {
    const ALL: &'static [(Self, i32)] = &[(Extent::One, 0), (Extent::All, 1), (Extent::Unused, 2)];
}

impl Coded for Whiteouts {
    const ALL: &'static [(Self, i32)] = &[
        (Whiteouts::Apply, 0),
        (Whiteouts::Overlay { user_xattr: false }, 1),
        (Whiteouts::Overlay { user_xattr: true }, 2),
    ];
}

impl Coded for ChangeKind {
    const ALL: &'static [(Self, i32)] = &[(ChangeKind::Modify, 0), (ChangeKind::Add, 1), (ChangeKind::Delete, 2)];
}

impl Coded for Cure {
    const ALL: &'static [(Self, i32)] = &[(Cure::Heal, 0), (Cure::Loss, 1)];
}

impl Coded for Refusals {
    const ALL: &'static [(Self, i32)] = &[(Refusals::Fail, 0), (Refusals::Ignored, 1)];
}

impl Coded for RootFrom {
    const ALL: &'static [(Self, i32)] = &[(RootFrom::Archive, 0), (RootFrom::Parent, 1)];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_come_back<W: Coded + std::fmt::Debug>() {
        for &(word, code) in W::ALL {
            assert_eq!((W::of(code), word.code()), (Some(word), code));
        }
        assert_eq!((W::of(-1), W::of(77)), (None, None));
    }

    #[test]
    fn every_word_comes_back_from_its_number() {
        all_come_back::<Extent>();
        all_come_back::<Whiteouts>();
        all_come_back::<ChangeKind>();
        all_come_back::<Cure>();
        all_come_back::<Refusals>();
        all_come_back::<RootFrom>();
        for each in [Home::Own, Home::ImageStore, Home::Additional(0), Home::Additional(u16::MAX)] {
            assert_eq!(home(of_home(each)), Some(each));
        }
        assert_eq!((home(2), home(0x2_0000)), (None, None));
    }
}
