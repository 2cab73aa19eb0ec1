//! `load`.

use std::path::{Path, PathBuf};

use crate::app::Context;
use crate::engine;
use crate::flags::Flag;
use crate::image_format::{Image, Source, complete_name, read_images};
use crate::input::Input;
use crate::stop::{Outcome, usage};
use crate::transfer::{Loaded, bring_in};

pub(crate) const HELP: &str = "\
Reads images from a file, a directory or standard input: an OCI image layout (a directory or a tar archive), or what
docker save wrote. Prints the ids of the images. Each is made as podman makes it: the same ids of image and layers, so
layers that are there, in this store or an additional one, are used and not extracted again. A name is taken from the
image that had it. An image whose digests are wrong is refused, and leaves nothing; so does a load that is stopped. Of a
list of images the one for this machine is taken. What can't be read in place is copied to $TMPDIR (/var/tmp).";

pub(crate) const FLAGS: &[Flag] = &[
    Flag::value(&["--input", "-i"], "Read from file or directory instead of stdin"),
    Flag::list(&["--name", "-n"], "Further name for the image"),
    super::JSON,
];

pub(crate) fn load(context: &mut Context) -> Outcome {
    let source = source(context)?;
    let names = context.flags.list("--name").iter().map(|name| complete_name(name));
    let names = names.collect::<storage_core::Result<Vec<_>>>()?;
    let (store, mut key) = engine::open(context)?;
    let work = context.work("load image");
    let mut images = read_images(source, &temporary(), &work.task)?;
    name(&mut images, names)?;
    let mut loaded = Vec::new();
    let outcome = images.iter().try_for_each(|image| {
        loaded.push(bring_in(&store, &mut key, image, &work.task)?);
        Ok(())
    });
    drop(work);
    // Of several, those before the one that failed are loaded.
    show(context, &loaded)?;
    outcome
}

fn source(context: &Context) -> Outcome<Source> {
    let path = match (context.flags.value("--input"), context.args.first()) {
        (Some(_), Some(_)) => return Err(usage("two sources are given", "give one, with -i or without").into()),
        (flag, argument) => flag.or(argument.map(String::as_str)),
    };
    Ok(match path.filter(|path| *path != "-") {
        Some(path) => Source::Path(PathBuf::from(path)),
        None => Source::Stream(Box::new(Input::open("load image", None, &context.cancel)?)),
    })
}

fn name(images: &mut [Image], names: Vec<String>) -> Outcome {
    match images {
        _ if names.is_empty() => Ok(()),
        [image] => {
            let new = names.into_iter().filter(|name| !image.names.contains(name));
            image.names.extend(new.collect::<Vec<_>>());
            Ok(())
        }
        _ => Err(usage("a name is given for several images", "load them without -n, then use add-names").into()),
    }
}

/// Where copies are made: a directory with room for large ones.
pub(super) fn temporary() -> PathBuf {
    let chosen = std::env::var_os("TMPDIR").filter(|place| !place.is_empty()).map(PathBuf::from);
    chosen.unwrap_or_else(|| Path::new("/var/tmp").to_path_buf())
}

fn show(context: &mut Context, loaded: &[Loaded]) -> Outcome {
    if context.json() {
        return context.out.json(&loaded);
    }
    loaded.iter().try_for_each(|image| context.out.line(&image.id))
}
