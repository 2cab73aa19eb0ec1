//! Every operation of a driver, once.

use std::path::Path;
use std::time::{Duration, Instant};

use storage_core::driver::plugin::Plugins;
use storage_core::driver::{
    Comparison, Driver, Extent, Home, LayerRef, MountOptions, OwnerMaps, Plan, Request, RootFrom, ScratchLocks, Staged,
    Start,
};
use storage_core::locks::ThreadKey;
use storage_core::{Error, LayerId, Result, Task};

/// Told of each operation how it ended.
type Tell<'a> = &'a mut dyn FnMut(&str, std::result::Result<(), String>);

struct Walker<'a> {
    driver: Box<dyn Driver>,
    locks: ScratchLocks,
    key: ThreadKey,
    tell: Tell<'a>,
}

/// Loads `plugin` and calls all that can be called; what a failure keeps from being called is passed over.
pub(crate) fn walk(plugin: &Path, request: &Request, tell: Tell<'_>) {
    let descriptor = Plugins::new().load(plugin).expect("load");
    let survey = (descriptor.survey)(request);
    tell("survey", if survey.usable { Ok(()) } else { Err(survey.reason) });
    match (descriptor.open)(request) {
        Ok(driver) => {
            tell("open", Ok(()));
            let locks = ScratchLocks::in_directory(request.home.parent().expect("a root"));
            let key = ThreadKey::take().expect("key");
            Walker { driver, locks, key, tell }.all();
            (tell)("close", Ok(()));
        }
        Err(error) => tell("open", Err(words(&error))),
    }
    // The process goes on, whatever happened.
    tell("load", Plugins::new().load(plugin).map(drop).map_err(|error| words(&error)));
}

fn words(error: &Error) -> String {
    format!("{:?} {error}", error.kind())
}

fn id(name: &str) -> LayerId {
    LayerId::from_store(name).expect("id")
}

/// The layer that is only looked at.
fn kept() -> LayerRef {
    LayerRef::own(id("kept"), [])
}

impl Walker<'_> {
    fn told<T>(&mut self, name: &str, result: Result<T>) -> Option<T> {
        let (value, ended) = match result {
            Ok(value) => (Some(value), Ok(())),
            Err(error) => (None, Err(words(&error))),
        };
        (self.tell)(name, ended);
        value
    }

    fn all(mut self) {
        let status = self.driver.status().into_iter().find(|(key, _)| key == "Plugin Error");
        (self.tell)("status", status.map_or(Ok(()), |(_, words)| Err(words)));
        self.without_locks();
        self.make();
        self.look();
        self.compare();
        self.mount();
        self.remove();
    }

    fn without_locks(&mut self) {
        let (one, home) = (id("kept"), Home::Own);
        let soon = Instant::now() + Duration::from_secs(5);
        for (name, done) in [
            ("mount_point", self.driver.mount_point(&one, home).map(drop)),
            ("name_directories", self.driver.name_directories(home).map(drop)),
            ("own_directory", self.driver.own_directory(&one, home).map(drop)),
            ("staging_homes", self.driver.staging_homes().map(drop)),
            ("sweep", self.driver.sweep(soon, &Task::new("walk")).map(drop)),
        ] {
            self.told(name, done);
        }
    }

    fn begin(&mut self) -> Option<Box<dyn Staged>> {
        let Walker { driver, locks, key, .. } = self;
        let begun = locks.shared(key, |held| driver.begin(held, &Plan::new(Start::OnParent(None)))).expect("lock");
        let mut staged = self.told("begin", begun)?;
        let filled = staged.fill(&Task::new("walk"));
        self.told("staged_fill", filled);
        let (root, identity) = (staged.root().map(drop), staged.identity().map(drop));
        self.told("staged_root", root);
        self.told("staged_identity", identity);
        Some(staged)
    }

    /// One layer committed, its content replaced, and one given up.
    fn make(&mut self) {
        if let Some(mut staged) = self.begin() {
            let done = self.locks.exclusive(&mut self.key, |held| staged.commit(held, &id("walked"))).expect("lock");
            self.told("staged_commit", done);
        }
        if let Some(mut staged) = self.begin() {
            let done = self.locks.exclusive(&mut self.key, |held| staged.replace(held, &id("walked"))).expect("lock");
            // It is left for the next sweep.
            drop(self.told("staged_replace", done));
            self.told("trash_leave", Ok(()));
        }
        if let Some(mut staged) = self.begin() {
            let Walker { locks, key, .. } = self;
            let settled = locks.shared(key, |held| staged.settle(held, &kept(), RootFrom::Parent));
            self.told("staged_settle", settled.expect("lock"));
            drop(staged);
            self.told("staged_discard", Ok(()));
        }
    }

    fn look(&mut self) {
        let (one, home, Walker { driver, locks, key, .. }) = (id("kept"), Home::Own, &mut *self);
        let (done, views) = locks
            .shared(key, |held| {
                let done = [
                    ("exists", driver.exists(held, &one, home).map(drop)),
                    ("list", driver.list(held, home).map(drop)),
                    ("metadata", driver.metadata(held, &kept()).map(drop)),
                    ("identity", driver.identity(held, &one, home).map(drop)),
                    ("is_untouched", driver.is_untouched(held, &kept()).map(drop)),
                    ("write_mark", driver.write_mark(held, &one, home).map(drop)),
                    ("is_mounted", driver.is_mounted(held, &one, home).map(drop)),
                    ("examine", driver.examine(held, &kept()).map(drop)),
                    ("strays", driver.strays(held).map(drop)),
                    ("recall_parent", driver.recall_parent(held, &one, home).map(drop)),
                ];
                (done, [("view", driver.view(held, &kept())), ("own_files", driver.own_files(held, &kept()))])
            })
            .expect("lock");
        for (name, done) in done {
            self.told(name, done);
        }
        for (name, view) in views {
            if let Some(view) = self.told(name, view) {
                let held = view.check();
                self.told("view_check", held);
                drop(view);
                self.told("view_close", Ok(()));
            }
        }
    }

    fn compare(&mut self) {
        let Walker { driver, locks, key, .. } = self;
        let compared = locks.shared(key, |held| driver.compare(held, &kept(), None, &OwnerMaps::default()));
        let Some(comparison): Option<Box<dyn Comparison>> = self.told("compare", compared.expect("lock")) else {
            return;
        };
        let task = Task::new("walk");
        for (name, done) in [
            ("comparison_changes", comparison.changes(&task, &mut |_| Ok(()))),
            ("comparison_pack", comparison.pack(&mut std::io::sink(), &mut || Ok(()), &task)),
            ("comparison_size", comparison.size(&task).map(drop)),
            ("comparison_check", comparison.check()),
        ] {
            self.told(name, done);
        }
        drop(comparison);
        self.told("comparison_close", Ok(()));
    }

    fn mount(&mut self) {
        let Walker { driver, locks, key, .. } = self;
        let done = locks.mounting(key, |held| {
            [
                ("mount", driver.mount(held, &kept(), &MountOptions::default()).map(drop)),
                ("unmount", driver.unmount(held, &id("kept"), Home::Own, Extent::One).map(drop)),
                ("retire", driver.retire(held).map(drop)),
            ]
        });
        for (name, done) in done.expect("lock") {
            self.told(name, done);
        }
    }

    fn remove(&mut self) {
        let Walker { driver, locks, key, .. } = self;
        let (healed, strays, trash) = locks
            .exclusive(key, |held| {
                let (healed, strays) = (driver.heal(held, &kept()), driver.remove_strays(held).map(drop));
                (healed, strays, driver.remove(held, &id("walked"), Home::Own))
            })
            .expect("lock");
        self.told("heal", healed);
        self.told("remove_strays", strays);
        if let Some(trash) = self.told("remove", trash) {
            let reclaimed = trash.reclaim(&Task::new("walk"));
            self.told("trash_reclaim", reclaimed);
        }
    }
}
