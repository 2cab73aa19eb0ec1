//! The homes of a driver: one thing of the driver's own for each.

use std::path::PathBuf;

use super::{Home, Request};
use crate::error::{Error, Kind, Result};

/// What a driver keeps for each of its homes.
#[derive(Clone, Debug)]
pub struct Homes<H> {
    own: H,
    image: Option<H>,
    additional: Vec<H>,
}

impl<H> Homes<H> {
    /// Makes one of each home of `request`.
    pub fn new(request: &Request, make: impl Fn(PathBuf) -> H) -> Self {
        Homes {
            own: make(request.home.clone()),
            image: request.image_home.clone().map(&make),
            additional: request.additional_homes.iter().cloned().map(&make).collect(),
        }
    }

    /// The store's own.
    pub fn own(&self) -> &H {
        &self.own
    }

    /// The one that `home` means. Fails with [`Kind::NotFound`] when the store has none of that number.
    pub fn of(&self, home: Home) -> Result<&H> {
        let found = match home {
            Home::Own => Some(&self.own),
            Home::ImageStore => self.image.as_ref(),
            Home::Additional(number) => self.additional.get(usize::from(number)),
        };
        found.ok_or_else(|| Error::new(Kind::NotFound, "find home").detail(format!("the store has no home {home:?}")))
    }

    /// The one that `home` means, to change something in it. Fails with [`Kind::ReadOnlyStore`] for an additional store's.
    pub fn writable(&self, home: Home) -> Result<&H> {
        if home.is_writable() {
            return self.of(home);
        }
        Err(Error::new(Kind::ReadOnlyStore, "change layer").detail("it stands in an additional store"))
    }

    /// Those in which layers are made: the store's own, and that of a separate image store.
    pub fn writable_ones(&self) -> impl Iterator<Item = &H> {
        std::iter::once(&self.own).chain(&self.image)
    }

    /// All of them with what means them, the store's own first.
    pub fn all(&self) -> impl Iterator<Item = (Home, &H)> {
        let image = self.image.iter().map(|home| (Home::ImageStore, home));
        let additional = (0..=u16::MAX).map(Home::Additional).zip(&self.additional);
        std::iter::once((Home::Own, &self.own)).chain(image).chain(additional)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_found_by_what_means_them_and_additional_ones_are_never_given_for_changes() {
        let request = Request { additional_homes: vec!["/a".into(), "/b".into()], ..Request::of_home("/o", "/r") };
        let homes = Homes::new(&request, |path| path);
        let all: Vec<_> = homes.all().map(|(home, path)| (home, path.clone())).collect();
        let expected = [(Home::Own, "/o"), (Home::Additional(0), "/a"), (Home::Additional(1), "/b")];
        assert_eq!(all, expected.map(|(home, path)| (home, PathBuf::from(path))));
        for (home, path) in &all {
            assert_eq!(homes.of(*home).expect("home"), path);
        }
        let kind = |found: Result<&PathBuf>| found.map_err(|error| error.kind()).err();
        assert_eq!(kind(homes.of(Home::ImageStore)), Some(Kind::NotFound));
        assert_eq!(kind(homes.of(Home::Additional(2))), Some(Kind::NotFound));
        assert_eq!(kind(homes.writable(Home::Additional(0))), Some(Kind::ReadOnlyStore));
        assert_eq!(homes.writable_ones().count(), 1);
    }
}
