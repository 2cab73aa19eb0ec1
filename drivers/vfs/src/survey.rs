//! Whether the driver can work on a root.

use storage_core::driver::{Capabilities, Capability, Request, Survey};
use storage_core::fs::probe::{has_reflink, nearest_existing};
use storage_core::mount::Features;

use crate::options;

/// Looks at the place; changes nothing.
pub(crate) fn survey(request: &Request) -> Survey {
    let place = nearest_existing(&request.home);
    let reflink = has_reflink(&place);
    let capabilities = capabilities(reflink, Features::of_kernel());
    if let Err(error) = options::parse(&request.options) {
        return Survey { usable: false, reason: error.to_string(), capabilities };
    }
    if rustix::fs::access(&place, rustix::fs::Access::WRITE_OK).is_err() {
        return Survey { usable: false, reason: format!("{} can't be written to", place.display()), capabilities };
    }
    let copies = if reflink { "copies share blocks here" } else { "every layer is a full copy here" };
    Survey { usable: true, reason: format!("it works on every filesystem; {copies}"), capabilities }
}

pub(crate) fn capabilities(reflink: bool, features: Features) -> Capabilities {
    Capabilities::NONE
        .with(Capability::Reflink, reflink)
        .with(Capability::DType, true)
        .with(Capability::DetachedViews, features.detached())
}
