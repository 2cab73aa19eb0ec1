//! `copy`.

use storage_core::Result;
use storage_core::driver::MountOptions;
use storage_core::idmap::{Maps, Owner};

use crate::app::Context;
use crate::copying::{Place, copy as copy_one};
use crate::engine::{self, Item, ItemKind, Release, Store, ThreadKey};
use crate::flags::Flag;
use crate::roots;
use crate::stop::{Outcome, usage};

pub(crate) const HELP: &str = "\
Copies files and directories between the host and layers or containers, written NAME:/PATH; a path with a slash before its
first colon is the host's. Of a directory what is in it is copied, into a directory that is made where it is missing.
Anything else goes into a directory that is there, or becomes what the last argument names. A link is copied as a link. A
path in a layer never leads outside it. Layers are mounted meanwhile.";

pub(crate) const FLAGS: &[Flag] =
    &[Flag::value(&["--chown", "-o"], "Give all to UID[:GID], as they are inside the destination"), super::JSON];

/// The mounts of one command, by the name of what is mounted.
struct Mounts<'s> {
    store: &'s Store,
    made: Vec<String>,
}

pub(crate) fn copy(context: &mut Context) -> Outcome {
    let owner = context.flags.value("--chown").map(owner).transpose()?;
    let (store, mut key) = engine::open(context)?;
    let mut mounts = Mounts { store: &store, made: Vec::new() };
    let work = context.work("copy");
    let copied = (|| {
        let Some((to, from)) = context.args.split_last() else { return Ok(()) };
        let mut places = Vec::new();
        for from in from {
            places.push(mounts.place(&mut key, from)?);
        }
        let to = mounts.place(&mut key, to)?;
        let to = if places.len() > 1 { to.into_directory() } else { to };
        places.iter().try_for_each(|from| copy_one(from, &to, owner, &work.task))
    })();
    let released = mounts.release(&mut key);
    drop(work);
    Ok(copied.and(released)?)
}

impl Mounts<'_> {
    /// What an argument means. A layer is mounted for it.
    fn place(&mut self, key: &mut ThreadKey, argument: &str) -> Result<Place> {
        let Some((name, path)) = argument.split_once(':').filter(|(name, _)| !name.contains('/') && !name.is_empty())
        else {
            return Place::on_host(&roots::absolute(argument)?);
        };
        let sight = self.store.sight()?;
        let (_, item) = sight.first_of(&[ItemKind::Layer, ItemKind::Container, ItemKind::Image], name, "copy")?;
        let options = MountOptions::default();
        let (id, maps, root) = match &item {
            Item::Container(container) => {
                (&container.layer, container.maps(), self.store.mount_container(key, &container.id, &options)?)
            }
            Item::Layer(layer) => (&layer.id, layer.maps(), self.store.mount(key, &layer.id, &options)?),
            Item::Image(_) => return Err(usage(format!("{name:?} is an image"), "name a layer or a container")),
        };
        self.made.push(id.clone());
        Place::in_layer(&root, path, if maps.is_identity() { Maps::NONE } else { maps })
    }

    /// Gives back every mount; the first failure is told.
    fn release(&mut self, key: &mut ThreadKey) -> Result<()> {
        let released = self.made.drain(..).map(|id| self.store.unmount(key, &id, Release::One).map(drop));
        released.fold(Ok(()), Result::and)
    }
}

/// `UID`, for the group of that number too, or `UID:GID`.
fn owner(text: &str) -> Result<Owner> {
    let number = |text: &str| {
        let number = text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
        number.ok_or_else(|| usage(format!("--chown can't be {text:?}"), "give UID or UID:GID, numbers"))
    };
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    Ok(Owner { uid: number(uid)?, gid: number(gid)? })
}
