//! x
use integration::case::Case;
pub(crate) const CASES: &[Case] = &[];
