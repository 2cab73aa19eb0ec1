//! `lamina tour`: the main job in one command, as root and as an ordinary user, leaving nothing.

use std::fs;
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{end, must};
use integration::{Outcome, Scratch, Skip, archive, machine, tree};

pub(crate) const CASES: &[Case] = &[
    case("tour::as_root", 200, as_root),
    case("tour::on_btrfs", 200, on_btrfs),
    case("tour::as_an_ordinary_user", 200, as_user),
    case("tour::says_why_a_driver_cannot_be_used", 60, drivers),
];

fn command() -> Result<std::path::PathBuf, Skip> {
    if machine::stand_in() {
        return Err(Skip("the reference has no tour".to_owned()));
    }
    Ok(machine::lamina().expect("the supervisor found a command to test"))
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo")
}

fn as_root(scratch: &Scratch) -> Outcome {
    let bin = command()?;
    let layer = archive::small(scratch.path(), "small", 50, 4000);
    let room = scratch.make("room");
    let (before, files) = (mounts(), tree::listing(scratch.path()));
    let mut tour = Command::new(bin);
    tour.arg("tour").arg("--layer").arg(&layer).env("TMPDIR", &room);
    let out = must(tour);
    for word in ["overlay", "vfs", "import", "mount", "diff", "delete"] {
        assert!(out.contains(word), "the tour speaks of {word}: {out}");
    }
    assert_eq!(mounts(), before, "nothing stays mounted");
    assert_eq!(tree::listing(scratch.path()), files, "nothing stays on disk");
    Ok(())
}

/// The driver that works on one filesystem alone, there.
fn on_btrfs(scratch: &Scratch) -> Outcome {
    let bin = command()?;
    let layer = archive::small(scratch.path(), "small", 50, 4000);
    let disk = scratch.small_disk("disk", 1 << 30, "btrfs")?;
    let (before, files) = (mounts(), tree::listing(&disk));
    let mut tour = Command::new(bin);
    tour.args(["tour", "--json", "--driver", "btrfs", "--root"]).arg(&disk).arg("--layer").arg(&layer);
    let told: serde_json::Value = serde_json::from_str(&must(tour)).expect("tour --json writes JSON");
    let text = told.to_string();
    assert!(text.contains(r#""ok":true"#) && !text.contains(r#""ok":false"#), "every check is held: {told:#}");
    for rule in ["R1", "R2", "R3"] {
        assert!(text.contains(&format!(r#""rule":"{rule}""#)), "{rule} was looked at: {told:#}");
    }
    assert_eq!(mounts(), before, "nothing stays mounted");
    assert_eq!(tree::listing(&disk), files, "nothing stays on disk");
    Ok(())
}

fn as_user(scratch: &Scratch) -> Outcome {
    let bin = command()?;
    let setpriv = machine::need("setpriv")?;
    let place = scratch.for_everybody()?;
    fs::copy(bin, place.join("command-under-test")).expect("copy the command");
    archive::small(&place, "small", 50, 4000);
    let room = place.join("room");
    fs::create_dir_all(&room).expect("make a directory");
    std::os::unix::fs::chown(&room, Some(65534), Some(65534)).expect("chown");
    let before = mounts();
    let mut tour = Command::new(setpriv);
    tour.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(place.join("command-under-test"));
    tour.arg("tour")
        .arg("--layer")
        .arg(place.join("small.tar"))
        .env("TMPDIR", &room)
        .env("HOME", &room)
        .current_dir(&room);
    let out = must(tour);
    assert!(out.contains("vfs"), "the tour speaks of the driver that works everywhere: {out}");
    assert_eq!(mounts(), before, "nothing stays mounted");
    assert_eq!(tree::listing(&room), Vec::<String>::new(), "nothing stays on disk");
    Ok(())
}

fn drivers(scratch: &Scratch) -> Outcome {
    let mut survey = Command::new(command()?);
    survey.arg("-g").arg(scratch.join("root")).arg("-R").arg(scratch.join("run")).arg("drivers");
    let ended = end(survey);
    let out = String::from_utf8_lossy(&ended.output.stdout).into_owned();
    assert!(ended.output.status.success(), "{}", ended.describe());
    assert!(out.contains("overlay") && out.contains("vfs"), "both drivers are named: {out}");
    Ok(())
}
