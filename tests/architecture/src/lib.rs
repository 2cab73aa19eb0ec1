//! Reads which modules a source file names, so that a test can tell where imports go up.
//!
//! It reads text, not syntax: comments and the test module at the end of a file are left out, groups in braces are taken
//! apart, and `super::` is followed to the root of the crate.

/// The first segments of the paths below `root::` that a file names, each with its line: `crate::fs::copy` gives `fs`.
///
/// `depth` is how many modules deep the file is: the number of `super::` that lead to the root of its crate.
pub fn named(source: &str, root: &str, depth: usize) -> Vec<(usize, String)> {
    let code = without_tests_and_comments(source);
    let mut starts = vec![format!("{root}::")];
    if root == "crate" && depth > 0 {
        starts.push("super::".repeat(depth));
    }
    let mut found = Vec::new();
    for start in starts {
        for (at, _) in code.match_indices(&start) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '_' || before == ':' {
                continue;
            }
            let line = code[..at].lines().count().max(1);
            found.extend(heads(&code[at + start.len()..]).into_iter().map(|head| (line, head)));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The code of a file, line by line, without comments and without what follows `#[cfg(test)]` at the start of a line.
fn without_tests_and_comments(source: &str) -> String {
    let mut code = String::new();
    for line in source.lines() {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            break;
        }
        code.push_str(line.split("//").next().unwrap_or(""));
        code.push('\n');
    }
    code
}

/// The first segments of what follows `root::`: one name, or those of a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        let head = name(rest);
        return if head.is_empty() { Vec::new() } else { vec![head] };
    };
    let mut heads = Vec::new();
    let (mut depth, mut part) = (0_usize, String::new());
    for letter in group.chars() {
        match letter {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(name(&part));
                part.clear();
                continue;
            }
            _ => {}
        }
        part.push(letter);
    }
    heads.push(name(&part));
    heads.retain(|head| !head.is_empty());
    heads
}

/// The library example of the README, which has to compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[derive(Debug)]
pub struct Readme;
