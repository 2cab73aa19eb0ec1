//! What `lamina conformance` and `lamina audit` say of a plugin: of the examples that all is kept, of a broken one what isn't.

use std::path::Path;
use std::process::Command;

use integration::case::{Case, case};
use integration::store::{Ended, end};
use integration::{Outcome, Scratch, machine, plugins};
use serde_json::Value;

pub(crate) const CASES: &[Case] = &[
    case("plugins::conformance_and_audit::c", 300, |s| all_is_kept(s, &plugins::example_in_c(s)?, "dircopy")),
    case("plugins::conformance_and_audit::rust", 1500, |s| all_is_kept(s, &plugins::example_in_rust(s)?, "treecopy")),
    case("plugins_broken::the_audit_names_the_rule_and_the_call", 200, rule_and_call),
    case("plugins_broken::conformance_names_the_broken_promise", 200, promise),
];

/// The exit code of a broken rule.
const RULE_BROKEN: i32 = 40;
/// An audit that is soon done.
const SHORT: &[&str] = &["--rounds", "1", "--deaths", "7"];

/// `lamina VERB --plugin FILE` with more words, on a throw-away root in `scratch`.
fn judge(scratch: &Scratch, verb: &str, plugin: &Path, more: &[&str]) -> Ended {
    let mut command = Command::new(machine::lamina().expect("a command to test"));
    command.arg(verb).arg("--plugin").arg(plugin).arg("--root").arg(scratch.make("room")).args(more);
    end(command)
}

fn text(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.output.stdout).into_owned()
}

#[track_caller]
fn json(ended: &Ended, code: i32) -> Value {
    assert_eq!(ended.output.status.code(), Some(code), "{}", ended.describe());
    serde_json::from_slice(&ended.output.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.describe()))
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().unwrap_or_else(|| panic!("no list {name:?}: {report:#}"))
}

fn all_is_kept(scratch: &Scratch, plugin: &Path, driver: &str) -> Outcome {
    conforms(scratch, plugin, driver);
    keeps_all_rules(scratch, plugin, driver);
    Ok(())
}

fn conforms(scratch: &Scratch, plugin: &Path, driver: &str) {
    let report = json(&judge(scratch, "conformance", plugin, &["--json"]), 0);
    assert_eq!((&report["driver"], &report["ok"]), (&Value::from(driver), &Value::from(true)), "{report:#}");
    assert_eq!(report["failed"], 0, "{report:#}");
    assert!(report["passed"].as_u64().is_some_and(|passed| passed > 100), "the whole suite was run: {report:#}");
    let unexplained = |case: &&Value| case["outcome"] == "skipped" && case["detail"].as_str().is_none_or(str::is_empty);
    assert_eq!(list(&report, "cases").iter().find(unexplained), None, "each skip has its reason");
    let ended = judge(scratch, "conformance", plugin, &["--filter", "shared::"]);
    assert_eq!(ended.output.status.code(), Some(0), "{}", ended.describe());
    let told = text(&ended);
    assert!(told.lines().any(|line| line == "shared::attaches_nothing ... ok"), "{told}");
    let summary = told.lines().last().unwrap_or_default();
    assert!(summary.starts_with(&format!("{driver}: ")) && summary.contains(" passed, 0 failed, "), "{told}");
}

fn keeps_all_rules(scratch: &Scratch, plugin: &Path, driver: &str) {
    let reports = json(&judge(scratch, "audit", plugin, &[SHORT, &["--json"]].concat()), 0);
    let report = &reports[0];
    assert_eq!((&report["driver"], &report["ok"]), (&Value::from(driver), &Value::from(true)), "{report:#}");
    assert_eq!(list(report, "notJudged"), [] as [Value; 0], "all that was to be done could be done");
    let rules = list(report, "rules");
    assert_eq!(rules.len(), 10, "{rules:?}");
    for rule in rules {
        let reason = rule["byConstruction"].as_str();
        if ["R5", "R7", "R9"].map(Value::from).contains(&rule["rule"]) {
            assert_eq!(rule["verdict"], "by construction", "{rule}");
            assert!(
                reason.is_some_and(|reason| !reason.is_empty()),
                "what is kept by construction has a reason: {rule}"
            );
        } else {
            assert_eq!((&rule["verdict"], reason), (&Value::from("kept"), None), "{rule}");
        }
    }
    let ended = judge(scratch, "audit", plugin, SHORT);
    assert_eq!(ended.output.status.code(), Some(0), "{}", ended.describe());
    let told = text(&ended);
    let first = told.lines().next().unwrap_or_default();
    assert!(first.starts_with(&format!("{driver} ")) && first.contains(" events of "), "{told}");
    for (rule, verdict) in [("R1", "kept"), ("R5", "by construction"), ("R10", "kept")] {
        let start = format!("{rule:3}  {verdict:15}  ");
        assert!(told.lines().any(|line| line.starts_with(&start)), "{start:?} begins no line of {told}");
    }
    assert!(!told.contains("BROKEN"), "{told}");
}

/// Its views attach something, which only a hold of the counts allows.
fn rule_and_call(scratch: &Scratch) -> Outcome {
    let plugin = plugins::broken(scratch, "ATTACHES")?;
    let reports = json(&judge(scratch, "audit", &plugin, &[SHORT, &["--json"]].concat()), RULE_BROKEN);
    let report = &reports[0];
    assert_eq!((&report["driver"], &report["ok"]), (&Value::from("dircopy"), &Value::from(false)));
    let verdict = |name: &str| &list(report, "rules").iter().find(|rule| rule["rule"] == name).expect(name)["verdict"];
    assert_eq!((verdict("R1"), verdict("R2")), (&Value::from("broken"), &Value::from("kept")));
    let of_r1 = list(report, "paths").iter().filter(|line| line["rule"] == "R1");
    let breaches: Vec<&Value> = of_r1.flat_map(|line| list(line, "broken")).collect();
    for call in ["own files", "compare"] {
        let named =
            |breach: &&Value| breach["call"] == call && breach["what"].to_string().contains("it attached dircopy/");
        assert!(breaches.iter().copied().any(|breach| named(&breach)), "{call:?} is not named for R1: {breaches:#?}");
    }
    let ended = judge(scratch, "audit", &plugin, SHORT);
    assert_eq!(ended.output.status.code(), Some(RULE_BROKEN), "{}", ended.describe());
    let told = text(&ended);
    assert!(told.contains("       BROKEN by compare: it attached dircopy/"), "{told}");
    assert!(told.lines().any(|line| line.starts_with("R1   broken           ")), "{told}");
    Ok(())
}

fn promise(scratch: &Scratch) -> Outcome {
    const CASE: &str = "shared::attaches_nothing";
    let plugin = plugins::broken(scratch, "ATTACHES")?;
    let report = json(&judge(scratch, "conformance", &plugin, &["--json", "--filter", "shared::"]), 1);
    assert_eq!(report["ok"], false, "{report:#}");
    assert!(report["failed"].as_u64().is_some_and(|failed| failed > 0), "{report:#}");
    let case = list(&report, "cases").iter().find(|case| case["name"] == CASE).expect("the case was run");
    assert_eq!(case["outcome"], "failed", "{case}");
    for told in ["promise", "detail"] {
        assert!(case[told].as_str().is_some_and(|text| !text.is_empty()), "{told} of {case}");
    }
    let ended = judge(scratch, "conformance", &plugin, &["--filter", CASE]);
    assert_eq!(ended.output.status.code(), Some(1), "{}", ended.describe());
    let told = text(&ended);
    assert!(told.starts_with(&format!("{CASE} ... FAILED\n    promised: ")), "{told}");
    assert!(told.contains("\ndircopy: 0 passed, 1 failed, 0 skipped in "), "{told}");
    Ok(())
}
