//! `unshare`.

use storage_core::{Error, Kind};

use crate::app::Context;
use crate::stop::Outcome;
use crate::userns;

pub(crate) const HELP: &str = "\
Runs a command (default: $SHELL) as root of the ordinary user's own user namespace, with a mount namespace below it. Those are
podman's when its pause process is there, as with `podman unshare`; what `lamina mount` attaches stays as long as that
process. Else both are new, and their mounts end with the last process in them. --unshare=false runs the command where it is.";

pub(crate) fn unshare(context: &mut Context) -> Outcome {
    if userns::ordinary_user().is_none() {
        return Err(Error::new(Kind::NotSupported, "unshare")
            .detail("root needs no user namespace")
            .remedy("run the command as it is, or run this as an ordinary user")
            .into());
    }
    context.out.flush()?;
    Err(userns::replace_by(&context.args).into())
}
