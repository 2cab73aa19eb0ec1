//! The place of a store: surveys, homes, options, and the gate before the driver.

use storage_core::driver::{Home, ScratchLocks};
use storage_core::locks::ThreadKey;
use storage_core::{Kind, Result};

use crate::suite::bench::Bench;
use crate::suite::check::{Checked, Step, fail, must, refused, same, same_lines};
use crate::suite::store::Store;
use crate::suite::tree::Tree;
use crate::suite::{Case, case};

pub(super) const CASES: &[Case] = &[
    case(
        "place::a_survey_says_what_the_opened_driver_can",
        "A survey of a good root finds it usable, and the driver opened there has the capabilities that it named.",
        &[],
        survey_agrees,
    ),
    case(
        "place::a_survey_leaves_nothing",
        "A survey leaves the root as it was, before the driver was ever opened there and after.",
        &[],
        survey_leaves_nothing,
    ),
    case(
        "place::an_unknown_option_is_refused",
        "An option that the driver doesn't know is refused by name, by the survey and by opening.",
        &[],
        unknown_option,
    ),
    case(
        "place::a_home_is_opened_again",
        "What was made is there when the home is opened anew, the same.",
        &[],
        opened_again,
    ),
    case(
        "place::what_it_tells_of_itself_is_steady",
        "Status and capabilities are the same whenever they are asked, and no key of the status stands twice.",
        &[],
        steady,
    ),
    case(
        "place::names_of_layers_stand_in_directories_that_are_there",
        "The directories whose entries name layers exist, and there are none to flush in an additional store.",
        &[],
        name_directories,
    ),
    case(
        "place::a_token_of_another_store_opens_nothing",
        "The proof of a hold on one store is refused by the gate of another.",
        &[],
        foreign_token,
    ),
    case(
        "place::a_home_that_is_not_there_is_told",
        "Asking for a home that the store doesn't have is an error, not an answer.",
        &[],
        no_such_home,
    ),
];

fn survey_agrees(bench: &Bench) -> Checked {
    let roots = bench.roots()?;
    let survey = (bench.descriptor.survey)(&bench.request(&roots, &[])?);
    must(survey.usable, format!("the survey says it can't work there: {}", survey.reason))?;
    must(!survey.reason.is_empty(), "the survey gives no reason")?;
    let store = bench.store_on(&roots)?;
    same("capabilities", store.gate().capabilities(), survey.capabilities)
}

fn survey_leaves_nothing(bench: &Bench) -> Checked {
    let roots = bench.roots()?;
    let request = bench.request(&roots, &[])?;
    for _ in 0..2 {
        let before = [Tree::at(&roots.graph).listing()?, Tree::at(&roots.run).listing()?];
        (bench.descriptor.survey)(&request);
        let after = [Tree::at(&roots.graph).listing()?, Tree::at(&roots.run).listing()?];
        same_lines("the graph root", &after[0], &before[0])?;
        same_lines("the run root", &after[1], &before[1])?;
        drop(bench.store_on(&roots)?);
    }
    Ok(())
}

fn unknown_option(bench: &Bench) -> Checked {
    let request = bench.request(&bench.roots()?, &[("no-such-option", "1")])?;
    let survey = (bench.descriptor.survey)(&request);
    must(!survey.usable, "a survey with an unknown option says that the driver can work")?;
    let opened = (bench.descriptor.open)(&request);
    if let Err(error) = &opened {
        must(error.to_string().contains("no-such-option"), format!("the error doesn't name the option: {error}"))?;
    }
    refused("opening with an unknown option", opened, &[Kind::Usage, Kind::NotSupported])
}

fn opened_again(bench: &Bench) -> Checked {
    let roots = bench.roots()?;
    let mut store = bench.store_on(&roots)?;
    let layer = store.make(&["a"], |tree| tree.write("f", "one"))?;
    let (before, identity) = (store.listing(&layer)?, store.identity(&layer)?);
    drop(store);
    let mut store = bench.store_on(&roots)?;
    same("the list of layers", store.list()?, vec!["a".to_owned()])?;
    same("the identity", store.identity(&layer)?, identity)?;
    same_lines("the content", &store.listing(&layer)?, &before)
}

fn steady(bench: &Bench) -> Checked {
    let store = bench.store()?;
    let keys = |store: &Store| -> Vec<String> { store.gate().status().into_iter().map(|(key, _)| key).collect() };
    let first = keys(&store);
    same("status", keys(&store), first.clone())?;
    let mut single = first.clone();
    single.sort();
    single.dedup();
    same("the number of keys", single.len(), first.len())?;
    let before = store.gate().capabilities();
    drop(store);
    same("capabilities", bench.store()?.gate().capabilities(), before)
}

fn name_directories(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    store.make(&["a"], |_| Ok(()))?;
    for directory in store.gate().name_directories(Home::Own)? {
        must(directory.is_dir(), format!("{} is no directory", directory.display()))?;
    }
    same("those of an additional store", store.gate().name_directories(Home::Additional(0))?, Vec::new())
}

fn foreign_token(bench: &Bench) -> Checked {
    let mine = bench.store()?;
    let roots = bench.roots()?;
    let other = ScratchLocks::in_directory(&roots.graph);
    // A key of another thread: this one's is the store's.
    let gate = &mine.shared;
    let asked = std::thread::scope(|scope| {
        let ask = || -> Result<[Option<Kind>; 3]> {
            let mut key = ThreadKey::take()?;
            let kind = |refused: Result<()>| refused.err().map(|error| error.kind());
            Ok([
                kind(other.shared(&mut key, |held| gate.gate.shared(held).map(drop))?),
                kind(other.exclusive(&mut key, |held| gate.gate.exclusive(held).map(drop))?),
                kind(other.mounting(&mut key, |held| gate.gate.mounting(held).map(drop))?),
            ])
        };
        scope.spawn(ask).join()
    });
    match asked {
        Ok(kinds) => same("the answers", kinds?, [Some(Kind::LockMisuse); 3]),
        Err(_) => fail("the gate panicked"),
    }
}

fn no_such_home(bench: &Bench) -> Checked {
    let mut store = bench.store()?;
    let kinds = [Kind::NotFound, Kind::NotSupported];
    for home in [Home::ImageStore, Home::Additional(0), Home::Additional(7)] {
        let id = super::super::store::id("a")?;
        refused(&format!("{home:?}"), store.shared(|driver| driver.exists(&id, home)), &kinds)?;
        refused(&format!("{home:?}"), store.shared(|driver| driver.list(home)), &kinds)?;
    }
    std::fs::metadata(&store.request.home).step("stat", &store.request.home).map(drop)
}
