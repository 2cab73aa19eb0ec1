//! The header and the Rust side say the same: a C compiler checks what Rust knows of every structure and function.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::table::{ABI, SYMBOL, Table, functions, structures};
use crate::driver::Capability;
use crate::error::Kind;

const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");

/// What C calls a type of the border.
fn in_c(rust: &str) -> String {
    let rust = rust.trim();
    if let Some(target) = rust.strip_prefix("*mut ") {
        return format!("{} *", in_c(target));
    }
    if let Some(target) = rust.strip_prefix("*const ") {
        return format!("const {} *", in_c(target));
    }
    match rust {
        "" => "void",
        "c_void" => "void",
        "i32" => "int32_t",
        "u32" => "uint32_t",
        "u64" => "uint64_t",
        "Str" => "struct lamina_str",
        "Place" => "struct lamina_place",
        "Layer" => "struct lamina_layer",
        "Call" => "struct lamina_call",
        "RawOwners" => "struct lamina_owners",
        "RawRequest" => "struct lamina_request",
        "RawPlan" => "struct lamina_plan",
        "RawMount" => "struct lamina_mount_options",
        "RawDriver" => "lamina_driver",
        "RawStaged" => "lamina_staged",
        "RawTrash" => "lamina_trash",
        "RawView" => "lamina_view",
        "RawComparison" => "lamina_comparison",
        "EachText" => "lamina_each_text",
        "EachPair" => "lamina_each_pair",
        "EachChange" => "lamina_each_change",
        "EachFlaw" => "lamina_each_flaw",
        "EachDescriptor" => "lamina_each_descriptor",
        "Ask" => "lamina_ask",
        other => panic!("C has no name for {other:?}"),
    }
    .to_owned()
}

/// A C file whose compilation fails where the header says something else.
fn checks() -> String {
    let mut text = String::from("#include \"lamina_driver.h\"\n");
    let mut check = |condition: String| {
        let _ = writeln!(text, "_Static_assert({condition}, {:?});", condition);
    };
    check(format!("LAMINA_DRIVER_ABI == {ABI}"));
    for (name, size, fields) in structures() {
        check(format!("sizeof({name}) == {size}"));
        for (field, offset) in fields {
            check(format!("offsetof({name}, {field}) == {offset}"));
        }
    }
    let table = "struct lamina_driver_table";
    check(format!("sizeof({table}) == {}", size_of::<Table>()));
    for field in ["abi", "priority", "size", "name", "version", "automatic", "reserved"] {
        let offset = match field {
            "abi" => std::mem::offset_of!(Table, abi),
            "priority" => std::mem::offset_of!(Table, priority),
            "size" => std::mem::offset_of!(Table, size),
            "name" => std::mem::offset_of!(Table, name),
            "version" => std::mem::offset_of!(Table, version),
            "automatic" => std::mem::offset_of!(Table, automatic),
            _ => std::mem::offset_of!(Table, reserved),
        };
        check(format!("offsetof({table}, {field}) == {offset}"));
    }
    for (name, offset, arguments, result) in functions() {
        let arguments: Vec<_> = arguments.into_iter().map(in_c).collect();
        check(format!("offsetof({table}, {name}) == {offset}"));
        check(format!(
            "__builtin_types_compatible_p(__typeof__((({table} *)0)->{name}), {} (*)({}))",
            in_c(result),
            arguments.join(", ")
        ));
    }
    check(format!("__builtin_types_compatible_p(__typeof__(&{SYMBOL}), const {table} *(*)(void))"));
    text
}

fn compile(text: &str) -> (bool, String) {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("check.c");
    std::fs::write(&file, text).expect("write");
    let out =
        Command::new("cc").args(["-std=gnu11", "-Wall", "-Werror", "-fsyntax-only", "-I", INCLUDE]).arg(&file).output();
    let out = out.expect("a C compiler, which the toolchain links with as well");
    (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn the_header_and_the_rust_side_have_the_same_types_and_places() {
    let checks = checks();
    assert!(checks.lines().count() > 150, "too few checks:\n{checks}");
    let (fits, said) = compile(&checks);
    assert!(fits, "{said}");
    // A check that could not fail would prove nothing.
    let (fits, _) = compile(&checks.replace("lamina_each_pair", "lamina_each_flaw"));
    assert!(!fits, "a function of another type was taken");
}

#[test]
fn the_header_is_cplusplus_too() {
    let header = Path::new(INCLUDE).join("lamina_driver.h");
    let out =
        Command::new("cc").args(["-x", "c++", "-Wall", "-Werror", "-fsyntax-only"]).arg(header).output().expect("cc");
    let said = String::from_utf8_lossy(&out.stderr);
    // A machine may have a C compiler alone.
    assert!(out.status.success() || said.contains("cc1plus"), "{said}");
}

#[test]
fn numbers_of_kinds_and_capabilities_are_those_of_the_header() {
    let header = std::fs::read_to_string(Path::new(INCLUDE).join("lamina_driver.h")).expect("header");
    let value = |line: &str| line.split_whitespace().nth(2).map(|word| word.trim_end_matches('u').to_owned());
    let defined = |start: &str| -> Vec<(String, String)> {
        let lines = header.lines().filter_map(|line| Some((line, line.strip_prefix("#define ")?.strip_prefix(start)?)));
        let name = |rest: &str| rest.split_whitespace().next().unwrap_or_default().to_lowercase().replace('_', "-");
        lines.filter_map(|(line, rest)| Some((name(rest), value(line)?))).collect()
    };
    let kinds = defined("LAMINA_E_");
    assert!(kinds.len() > 10);
    for (name, number) in kinds {
        let kind = Kind::of_code(number.parse().expect("number")).expect("a kind");
        assert_eq!(kind.name(), name);
    }
    let expected: Vec<_> = Capability::ALL
        .iter()
        .enumerate()
        .map(|(bit, each)| (each.name().to_owned(), format!("0x{:x}", 1_u64 << bit)))
        .collect();
    assert_eq!(defined("LAMINA_CAN_"), expected);
}
