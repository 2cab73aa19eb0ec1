//! Plugins that are broken on purpose: each is refused or reported with a clear error, and the store stays as it was.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use integration::case::{Case, case};
use integration::store::{end, id};
use integration::{Outcome, Scratch, Store, archive, plugins};

pub(crate) const CASES: &[Case] = &[
    case("plugins_broken::tables_that_cannot_be_are_refused", 200, tables),
    case("plugins_broken::answers_that_cannot_be_are_reported_and_the_store_is_intact", 300, answers),
    case("plugins_broken::a_call_that_never_comes_back_is_reported_by_name", 150, silent),
    case("plugins_broken::a_view_that_attaches_is_told_of", 200, attaches),
];

/// A bad plugin.
const BAD_PLUGIN: i32 = 39;

fn tables(scratch: &Scratch) -> Outcome {
    for (fault, words, code) in [
        ("WRONG_VERSION", "it speaks version 2 of the border, and this program version 1", BAD_PLUGIN),
        ("TRUNCATED", "bytes, and at least", BAD_PLUGIN),
        ("SIZE_OF_NOTHING", "its table has 0 bytes", BAD_PLUGIN),
        ("ABSURD_SIZE", "its table has 18446744073709551615 bytes", BAD_PLUGIN),
        ("HALF_A_FUNCTION", "ends in the middle of a function", BAD_PLUGIN),
        ("MISSING_FUNCTION", "its table lacks the function staged_commit", BAD_PLUGIN),
        ("HALF_A_COMPARISON", "lacks one of the functions of comparisons", BAD_PLUGIN),
        ("TAKEN_NAME", "a driver called \"vfs\" is registered already", 6),
        ("BAD_NAME", "a driver can't be called \"../vfs\"", BAD_PLUGIN),
        ("GARBLED_NAME", "a text is not UTF-8", BAD_PLUGIN),
        ("NO_TABLE", "its table has no address", BAD_PLUGIN),
        ("OTHER_SYMBOL", "it does not export lamina_driver_v1", BAD_PLUGIN),
    ] {
        let plugin = plugins::broken(scratch, fault)?;
        let store = with(scratch, &plugin);
        let ended = store.run(&["layers"]);
        let said = ended.stderr();
        assert!(
            said.contains(words) && said.contains(plugin.to_str().expect("plain")),
            "{fault}: {}",
            ended.describe()
        );
        assert_eq!(ended.output.status.code(), Some(code), "{fault}: {}", ended.describe());
        assert!(!store.root.exists(), "{fault}: something was made in the root");
    }
    Ok(())
}

fn with(scratch: &Scratch, plugin: &Path) -> Store {
    Store::new(scratch, "store", "dircopy").with(&["--plugin", plugin.to_str().expect("a plain path")])
}

fn answers(scratch: &Scratch) -> Outcome {
    let good = with(scratch, &plugins::example_in_c(scratch)?);
    let tar = archive::small(scratch.path(), "layer", 20, 3000);
    let content = fs::read(&tar).expect("read");
    let (base, child) = (id("base"), id("child"));
    good.import(&base, None, &tar);
    let reading: &[&str] = &["diff", "-u", &base];
    let new = id("new");
    let making: &[&str] = &["create-layer", "-i", &new, &base];
    let mounting: &[&str] = &["mount", &child];
    good.create(&child, Some(&base));
    for (fault, call, words, code) in [
        ("UNKNOWN_KIND", reading, "it returned 250, which is the number of no kind of error", BAD_PLUGIN),
        ("GARBLED_ERROR", reading, "its error can't be read: a text is not UTF-8", 24),
        ("ERROR_OF_NO_SIZE", reading, "its error has no address or no size", 24),
        ("STRING_FROM_NOWHERE", reading, "a string of 7 bytes has no address", 24),
        ("ABSURD_LENGTH", reading, "a string has 18446744073709551615 bytes", 24),
        ("NO_DIRECTORY", reading, "is not that of a directory", BAD_PLUGIN),
        ("PATH_ONLY", reading, "it was opened with O_PATH", BAD_PLUGIN),
        ("NO_DESCRIPTOR", reading, "it answered with the descriptor -1", BAD_PLUGIN),
        ("CLOSED_DESCRIPTOR", reading, "the descriptor 1000000 is not open", BAD_PLUGIN),
        ("STANDARD_INPUT", reading, "it answered with the descriptor 0", BAD_PLUGIN),
        ("NO_HANDLE", making, "it told of success and gave no handle", BAD_PLUGIN),
        (
            "STAGED_NO_DIRECTORY",
            &["import-layer", "-i", &new, "-f", tar.to_str().expect("plain")],
            "is not that of a directory",
            BAD_PLUGIN,
        ),
        ("NO_MOUNT_POINT", mounting, "no mount point today", 24),
        ("NO_NAME_DIRECTORIES", making, "no names today", 24),
        ("NO_CAPABILITIES", reading, "no capabilities today", 24),
        ("RELATIVE_PATH", mounting, "it answered with the path \"../somewhere\"", BAD_PLUGIN),
        ("TWO_PATHS", mounting, "it answered 2 times where one answer is asked for", BAD_PLUGIN),
        ("NEITHER_YES_NOR_NO", &["check"], "it answered 7 where 0 or 1 is asked for", 1),
    ] {
        let store = with(scratch, &plugins::broken(scratch, fault)?);
        let ended = store.run(call);
        let said = ended.stderr() + &String::from_utf8_lossy(&ended.output.stdout);
        assert!(said.contains(words), "{fault}: {}", ended.describe());
        assert_eq!(ended.output.status.code(), Some(code), "{fault}: {}", ended.describe());
        assert_eq!(good.ids().len(), 2, "{fault}: the layers are those that were there");
        assert!(good.diff(&base) == content, "{fault}: the layer reads as before");
        assert!(good.counts().iter().all(|(_, _, count)| *count == 0), "{fault}: {:?}", good.counts());
    }
    let checked = good.run(&["check"]);
    assert!(checked.output.status.success(), "{}", checked.describe());
    good.delete(&child);
    good.delete(&base);
    Ok(())
}

fn silent(scratch: &Scratch) -> Outcome {
    let good = with(scratch, &plugins::example_in_c(scratch)?);
    let base = id("base");
    good.import(&base, None, &archive::small(scratch.path(), "layer", 5, 300));
    let store = with(scratch, &plugins::broken(scratch, "NO_END")?);
    let mut command = store.command();
    command.args(["diff", "-u", &base]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start");
    let told = BufReader::new(child.stderr.take().expect("piped"))
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("not come back"));
    let running = child.try_wait().expect("wait").is_none();
    child.kill().expect("kill");
    child.wait().expect("wait");
    let told = told.expect("the call is told of");
    assert!(told.contains("driver dircopy") && told.contains("from view for 60 s") && running, "{told}");
    assert!(!good.diff(&base).is_empty(), "the lock went with the process");
    good.delete(&base);
    Ok(())
}

fn attaches(scratch: &Scratch) -> Outcome {
    let plugin = plugins::broken(scratch, "ATTACHES")?;
    let mut tour = Command::new(integration::machine::lamina().expect("a command to test"));
    tour.arg("--plugin").arg(&plugin).args(["tour", "--driver", "dircopy", "--root"]).arg(scratch.path());
    tour.arg("--layer").arg(archive::small(scratch.path(), "small", 50, 4000));
    let ended = end(tour);
    let told = String::from_utf8_lossy(&ended.output.stdout).into_owned();
    assert!(!ended.output.status.success(), "{}", ended.describe());
    assert!(
        told.contains("R1 BROKEN") || told.contains("R1 broken") || told.contains("R1 violated"),
        "{told}\n{}",
        ended.describe()
    );
    Ok(())
}
