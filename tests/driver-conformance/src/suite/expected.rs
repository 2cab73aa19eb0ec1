//! Which cases there must be.

use super::{Case, Done, Report};

/// Every case and what it needs, a line each.
const EXPECTED: &str = include_str!("expected");

/// The lines of `expected`: the name of a case and the words of its needs.
pub fn expected() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    EXPECTED.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.collect()))
    })
}

/// The line of a case.
pub(super) fn line(case: &Case) -> String {
    let words: Vec<String> = case.needs.iter().map(|need| need.word()).collect();
    format!("{} {}", case.name, words.join(" ")).trim_end().to_owned()
}

/// The names of expected cases that a run of all didn't come to, or that are not as expected.
pub fn vanished(report: &Report) -> Vec<String> {
    let found: Vec<&str> = report.done.iter().map(|Done { name, .. }| name.as_str()).collect();
    let lines: Vec<String> = super::all().map(line).collect();
    let is_there = |name: &str, needs: &[&str]| {
        let wanted = format!("{name} {}", needs.join(" "));
        found.contains(&name) && lines.iter().any(|line| line == wanted.trim_end())
    };
    expected().filter(|(name, needs)| !is_there(name, needs)).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_exactly_the_cases_that_there_are() {
        let mut listed: Vec<String> =
            expected().map(|(name, needs)| format!("{name} {}", needs.join(" ")).trim_end().to_owned()).collect();
        let mut cases: Vec<String> = super::super::all().map(line).collect();
        let shown = cases.join("\n");
        listed.sort();
        cases.sort();
        assert_eq!(listed, cases, "src/suite/expected is not the list of the cases:\n{shown}");
        cases.dedup();
        assert_eq!(listed.len(), cases.len(), "two cases have one name");
    }
}
