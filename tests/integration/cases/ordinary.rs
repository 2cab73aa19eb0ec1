//! An ordinary user: images, containers, and somebody else's store that can only be read.

use std::fs;

use integration::case::{Case, case};
use integration::engines::Engines;
use integration::images::{self, Form};
use integration::user::{User, readable_for_everybody};
use integration::{Outcome, Scratch, Skip, archive, scratch, tree};

pub(crate) const CASES: &[Case] = &[
    case("ordinary::a_store_that_can_only_be_read::overlay", 120, |s| read_only(s, "overlay")),
    case("ordinary::a_store_that_can_only_be_read::vfs", 120, |s| read_only(s, "vfs")),
    case("ordinary::a_store_that_may_not_be_read_is_named::vfs", 120, |s| secret(s, "vfs")),
    case("ordinary::images_and_containers::overlay", 120, |s| round(s, "overlay", "")),
    case("ordinary::images_and_containers::vfs", 120, |s| round(s, "vfs", "")),
    case("ordinary::a_separate_image_store::overlay", 120, |s| round(s, "overlay", "--image-store $HOME/images")),
    case("ordinary::a_separate_image_store::vfs", 120, |s| round(s, "vfs", "--image-store $HOME/images")),
    case("ordinary::a_transient_store::overlay", 120, |s| round(s, "overlay", "--transient-store")),
    case("ordinary::a_transient_store::vfs", 120, |s| round(s, "vfs", "--transient-store")),
];

/// A container on the image `IMAGE`: made, mounted, written, compared, deleted.
const CONTAINER: &str = r#"
cat >round.sh <<'END'
M=$($L mount con)
cat "$M/etc/passwd" >read
echo new >"$M/new"
rm "$M/top"
$L mounted con
$L changes con >changes
$L unmount con
END
$L create-container -n con "$IMAGE"
export L
lamina unshare sh -eu round.sh
grep -q somebody read
grep -qx 'Add "/new"' changes
grep -qx 'Delete "/top"' changes
$L diff -u con | tar t >diff
grep -qx new diff
grep -qx .wh.top diff
$L delete-container con
test -z "$($L containers)"
"#;

/// The image that the cases use, at a place where the user can read it.
fn image(scratch: &Scratch, driver: &'static str) -> Result<(User, Engines), Skip> {
    let user = User::new(scratch)?;
    let engines = Engines::new(scratch, driver)?;
    if engines.store.is_peer() {
        return Err(Skip("the reference's command loads no images, and has no verb to enter a namespace".to_owned()));
    }
    // All of it is root's: a user may have too few ids for others.
    let tree = scratch.make("tree");
    archive::put(&tree, "etc/passwd", "somebody:x:1000:1000::/:/bin/sh\n");
    archive::put(&tree, "top", "of the tree");
    let file = user.join("image.tar");
    archive::pack(&tree, &file, "pax");
    let maker = engines.beside("maker", driver);
    maker.podman(&["import", "--quiet", file.to_str().expect("a printable path"), "localhost/made:1"]);
    maker.copy(&maker.reference("localhost/made:1"), &format!("oci:{}", user.join("layout").display()));
    readable_for_everybody(&user.join("layout"));
    Ok((user, engines))
}

fn read_only(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (user, engines) = image(scratch, driver)?;
    let below = &engines.store;
    engines.load(&user.join("layout"), Form::Gzip, "localhost/shared:1");
    for dir in ["layers", "images"] {
        let home = below.root.join(format!("{driver}-{dir}"));
        fs::remove_file(home.join(format!("{dir}.lock"))).expect("remove a lock");
    }
    readable_for_everybody(below.root.parent().expect("a directory above"));
    let before = tree::listing(&below.root);
    scratch::read_only(&below.root);
    let root = below.root.display();
    let script = format!(
        "L=\"lamina -g $HOME/g -R $HOME/r -s {driver} --storage-opt {driver}.imagestore={root}\"\nIMAGE=localhost/shared:1\n\
         $L image $IMAGE | grep -q 'Read Only: true'\ntest $($L layers -q | wc -l) = 1\n$L images-by-digest -q $($L image \
         -j $IMAGE | sed 's/.*\"digest\":\"\\(sha256:[0-9a-f]*\\)\".*/\\1/')\n"
    );
    user.ok(&(script.clone() + CONTAINER));
    let more = "$L add-names -n mine $IMAGE\n$L delete-image mine\n$L load ../layout\ntest $($L layers -q | wc -l) = 1\n\
                if $L delete-image $IMAGE 2>refused; then exit 9; fi\n\
                grep -q 'read-only store' refused\n$L gc\n$L check\n";
    user.ok(&(script + more));
    assert_eq!(tree::listing(&below.root), before, "nothing was written there");
    Ok(())
}

fn secret(scratch: &Scratch, driver: &'static str) -> Outcome {
    let (user, engines) = image(scratch, driver)?;
    engines.load(&user.join("layout"), Form::Gzip, "localhost/secret:1");
    let root = engines.store.root.display();
    let script = format!("lamina -g g -R r -s {driver} --storage-opt {driver}.imagestore={root} layers");
    let ended = user.run(&script);
    let named = ended.stderr().contains(&root.to_string()) && ended.stderr().contains("permission denied");
    assert!(!ended.output.status.success() && named, "the store is named: {}", ended.describe());
    user.ok(&format!("lamina -g g -R r -s {driver} layers"));
    Ok(())
}

fn round(scratch: &Scratch, driver: &'static str, flags: &str) -> Outcome {
    let (user, _) = image(scratch, driver)?;
    let script = format!(
        "L=\"lamina -g $HOME/g -R $HOME/r -s {driver} {flags}\"\nIMAGE=localhost/here:1\n$L load -n $IMAGE ../layout\n"
    );
    let end = "$L check\n$L save --format oci-dir -o saved $IMAGE\n$L delete-image $IMAGE\n$L gc\n$L check\n\
               test -z \"$($L layers)$($L images)\"\n";
    user.ok(&(script + CONTAINER + end));
    let (was, now) = (images::Layout::read(&user.join("layout")), images::Layout::read(&user.home().join("saved")));
    assert_eq!((was.diff_ids, was.config), (now.diff_ids, now.config), "it is saved as it was loaded");
    Ok(())
}
