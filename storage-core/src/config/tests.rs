//! The rules of search, precedence and defaults, each on a system of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::*;

/// A system: places below a directory, a user, variables.
struct System {
    directory: tempfile::TempDir,
    uid: u32,
    variables: BTreeMap<String, OsString>,
}

const USER: &str = "home/.config/containers/storage.conf";
const ETC: &str = "etc/containers/storage.conf";
const USR: &str = "usr/share/containers/storage.conf";

impl System {
    fn of(uid: u32, files: &[(&str, &str)]) -> Self {
        let system = System {
            directory: tempfile::tempdir().expect("make a directory"),
            uid,
            variables: BTreeMap::from([
                ("USER".to_owned(), "ann".into()),
                ("XDG_RUNTIME_DIR".to_owned(), "/run/me".into()),
            ]),
        };
        for (name, text) in files {
            system.write(name, text);
        }
        system
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("make a directory");
        fs::write(path, text).expect("write a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn set(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    fn set_path(self, name: &str, file: &str) -> Self {
        let path = self.path(file);
        self.set(name, path)
    }

    fn environment(&self) -> Environment {
        let variables = self.variables.clone();
        let mut environment = Environment::new(self.uid, self.path("home"), move |name| variables.get(name).cloned());
        environment.prefix = self.directory.path().to_path_buf();
        environment
    }

    fn load(&self) -> Configuration {
        Configuration::load(&self.environment()).expect("load")
    }

    fn refused(&self) -> Error {
        Configuration::load(&self.environment()).expect_err("a configuration that can't be loaded")
    }

    /// The files that were read, by their names here.
    fn read(&self) -> Vec<String> {
        let here =
            |path: &PathBuf| path.strip_prefix(self.directory.path()).expect("a file here").display().to_string();
        self.load().files.iter().map(here).collect()
    }
}

fn driver(name: &str) -> String {
    format!("[storage]\ndriver = \"{name}\"\n")
}

fn options(text: &str) -> String {
    format!("[storage.options]\n{text}\n")
}

#[test]
fn without_files_the_defaults_serve() {
    let root = System::of(0, &[]).load();
    assert_eq!(root.graph_root, Path::new("/var/lib/containers/storage"));
    assert_eq!(root.run_root, Path::new("/run/containers/storage"));
    assert_eq!((root.auto_userns.min_size, root.auto_userns.max_size), (1024, 65536));
    assert_eq!(root.sources["storage.graphroot"], Source::Default);
    assert_eq!((root.driver, root.files.len(), root.driver_options.len()), (None, 0, 0));
    let system = System::of(1000, &[]);
    let user = system.load();
    assert_eq!(user.graph_root, system.path("home/.local/share/containers/storage"));
    assert_eq!(user.run_root, Path::new("/run/me/containers"));
}

#[test]
fn the_first_main_file_counts_and_no_other() {
    let (user, etc, usr) = (driver("vfs"), options("size = \"1G\""), driver("zfs"));
    let files = [(USER, user.as_str()), (ETC, &etc), (USR, &usr)];
    assert_eq!(System::of(1000, &files).read(), [USER]);
    assert_eq!(System::of(0, &files).read(), [ETC], "the user's file is for ordinary users");
    assert_eq!(System::of(1000, &files[1..]).read(), [ETC]);
    assert_eq!(System::of(0, &files[2..]).read(), [USR]);
    assert_eq!(System::of(0, &files).load().driver, None, "nothing comes from the file behind");
    let elsewhere = System::of(1000, &[("xdg/containers/storage.conf", &user), (USER, &usr)]);
    assert_eq!(elsewhere.set_path("XDG_CONFIG_HOME", "xdg").load().driver.as_deref(), Some("vfs"));
    let empty = System::of(1000, &[(USER, ""), (ETC, &usr)]).load();
    assert_eq!(empty.driver, None, "an empty file is a file");
}

#[test]
fn drop_ins_follow_by_name_and_the_nearest_of_one_name_counts() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(driver);
    let system = System::of(
        1000,
        &[
            (ETC, &driver("main")),
            ("usr/share/containers/storage.conf.d/50-x.conf", &a),
            ("etc/containers/storage.conf.d/50-x.conf", &b),
            ("usr/share/containers/storage.conf.d/90-y.conf", &c),
            ("home/.config/containers/storage.conf.d/10-z.conf", &d),
            ("etc/containers/storage.conf.d/99-not.txt", "not TOML"),
        ],
    );
    let names = ["etc/containers/storage.conf.d/50-x.conf", "usr/share/containers/storage.conf.d/90-y.conf"];
    assert_eq!(system.read(), [ETC, "home/.config/containers/storage.conf.d/10-z.conf", names[0], names[1]]);
    assert_eq!(system.load().driver.as_deref(), Some("c"), "the last name counts, not the nearest place");
    let source = Source::File { path: system.path(names[1]), line: 2 };
    assert_eq!(system.load().sources["storage.driver"], source);
}

#[test]
fn drop_ins_for_root_and_for_ordinary_users_are_told_apart() {
    let [a, b, c] = ["a", "b", "c"].map(driver);
    let files = [
        ("etc/containers/storage.rootful.conf.d/1.conf", a.as_str()),
        ("etc/containers/storage.rootless.conf.d/2.conf", &b),
        ("usr/share/containers/storage.rootless.conf.d/1000/3.conf", &c),
    ];
    assert_eq!(System::of(0, &files).load().driver.as_deref(), Some("a"));
    assert_eq!(System::of(1000, &files).load().driver.as_deref(), Some("c"));
    assert_eq!(System::of(1001, &files).load().driver.as_deref(), Some("b"));
}

#[test]
fn variables_name_the_only_file_and_the_last_one() {
    let [a, b, c] = ["a", "b", "c"].map(driver);
    let files = [(ETC, a.as_str()), ("etc/containers/storage.conf.d/x.conf", &b), ("only.conf", &c)];
    let only = System::of(0, &files).set_path("CONTAINERS_STORAGE_CONF", "only.conf");
    assert_eq!(only.read(), ["only.conf"]);
    let last = System::of(0, &files).set_path("CONTAINERS_STORAGE_CONF_OVERRIDE", "only.conf");
    assert_eq!(last.read(), [ETC, "etc/containers/storage.conf.d/x.conf", "only.conf"]);
    assert_eq!(last.load().driver.as_deref(), Some("c"));
    for name in ["CONTAINERS_STORAGE_CONF", "CONTAINERS_STORAGE_CONF_OVERRIDE"] {
        let error = System::of(0, &files).set_path(name, "nosuch.conf").refused();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().contains(&format!("exists with {name}")), "{error}");
    }
}

#[test]
fn later_files_overrule_key_by_key_and_may_append() {
    let main = "[storage]\ndriver_priority = [\"overlay\"]\n[storage.options]\nadditionalimagestores = [\"/a\"]\n\
                mountopt = \"nodev\"\npull_options = {enable_partial_images = \"true\", use_hard_links = \"false\"}\n";
    let drop_in = "[storage.options]\nadditionalimagestores = [\"/b\", {append = true}]\nmountopt = \"\"\n\
                   pull_options = {use_hard_links = \"true\"}\n[storage]\ndriver_priority = [\"vfs\"]\n";
    let loaded = System::of(0, &[(ETC, main), ("etc/containers/storage.conf.d/1.conf", drop_in)]).load();
    assert_eq!(loaded.additional_image_stores, ["/a", "/b"].map(PathBuf::from));
    assert_eq!(loaded.driver_priority, ["vfs"]);
    assert!(loaded.driver_options.is_empty(), "an empty value takes the option away: {:?}", loaded.driver_options);
    let pull: Vec<_> = loaded.pull_options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(pull, ["enable_partial_images=true", "use_hard_links=true"]);
}

#[test]
fn the_variable_for_the_driver_replaces_it() {
    let text = options("size = \"1G\"") + &driver("zfs");
    let system = System::of(0, &[(ETC, &text)]).set("STORAGE_DRIVER", "overlay2");
    let loaded = system.load();
    assert_eq!(loaded.driver.as_deref(), Some("overlay"));
    assert_eq!(loaded.driver_options, ["overlay.size=1G"], "options are those of the driver that counts");
    assert_eq!(loaded.sources["storage.driver"], Source::Variable("STORAGE_DRIVER"));
    let empty = System::of(0, &[(ETC, &text)]).set("STORAGE_DRIVER", "");
    assert_eq!(empty.load().driver.as_deref(), Some("zfs"));
}

#[test]
fn the_variable_for_options_replaces_all_of_them() {
    let text = options("mountopt = \"nodev\"\nadditionalimagestores = [\"/a\"]\nroot-auto-userns-user = \"u\"");
    let system = System::of(0, &[(ETC, &text)]).set("STORAGE_OPTS", "overlay.size=1G,overlay.imagestore=/b,");
    let loaded = system.load();
    assert_eq!(loaded.driver_options, ["overlay.size=1G"]);
    assert_eq!(loaded.additional_image_stores, [PathBuf::from("/b")]);
    assert_eq!(loaded.auto_userns.root_user.as_deref(), Some("u"), "what is no option of a driver stays");
    assert_eq!(loaded.sources["storage.options"].to_string(), "$STORAGE_OPTS");
    assert!(!loaded.sources.contains_key("storage.options.mountopt"));
    let none = System::of(0, &[(ETC, &text)]).set("STORAGE_OPTS", "").load();
    assert!(none.driver_options.is_empty(), "set to nothing, it takes all options away");
}

#[test]
fn options_reach_only_the_drivers_that_know_them() {
    let text = options("mountopt = \"nodev\"\nsize = \"1G\"\nignore_chown_errors = \"true\"\nforce_mask = 0o700")
        + "[storage.options.overlay]\nmountopt = \"metacopy=on\"\n[storage.options.zfs]\nfsname = \"tank/x\"\n";
    let of = |name: &str| System::of(0, &[(ETC, &text)]).set("STORAGE_DRIVER", name).load().driver_options;
    assert_eq!(of("vfs"), ["vfs.ignore_chown_errors=true"]);
    assert_eq!(of("btrfs"), ["btrfs.size=1G"]);
    assert_eq!(of("zfs"), ["zfs.fsname=tank/x", "zfs.mountopt=nodev", "zfs.size=1G"]);
    let overlay = ["ignore_chown_errors=true", "mountopt=metacopy=on", "size=1G", "force_mask=700"];
    assert_eq!(of("overlay"), overlay.map(|option| format!("overlay.{option}")), "the driver's own value counts");
    assert_eq!(of("").len(), 4 + 1 + 1 + 3, "no driver is named: those of all");
}

#[test]
fn sync_is_that_of_the_driver() {
    let text = "[storage.options.overlay]\nsync = \"filesystem\"\n[storage.options.vfs]\nsync = \"none\"\n";
    let of = |name: &str| System::of(0, &[(ETC, text)]).set("STORAGE_DRIVER", name).load().sync;
    assert_eq!(of("overlay"), Some(LayerSync::Filesystem));
    assert_eq!(of("vfs"), Some(LayerSync::None));
    assert_eq!((of("btrfs"), of("")), (None, Some(LayerSync::Filesystem)));
}

#[test]
fn roots_of_an_ordinary_user_come_from_files_for_users() {
    let roots = "[storage]\ngraphroot = \"/data/$UID\"\nrunroot = \"${HOME}/run\"\n";
    let everyone = "[storage]\ngraphroot = \"/srv/root\"\nrunroot = \"/srv/run\"\n\
                    rootless_storage_path = \"/srv/$USER/$UID\"\n";
    let system = System::of(1000, &[(USER, roots), (ETC, everyone)]);
    assert_eq!(system.load().graph_root, Path::new("/data/1000"));
    assert_eq!(system.load().run_root, system.path("home/run"));
    let shared = System::of(1000, &[(ETC, everyone)]).load();
    assert_eq!(shared.graph_root, Path::new("/srv/ann/1000"), "root's own root isn't the user's");
    assert_eq!(shared.run_root, Path::new("/run/me/containers"));
    assert!(shared.sources["storage.graphroot"].to_string().ends_with("storage.conf:4"), "{:?}", shared.sources);
    let root = System::of(0, &[(ETC, everyone)]).load();
    assert_eq!((root.graph_root, root.run_root), ("/srv/root".into(), "/srv/run".into()));
    let both = System::of(1000, &[(USER, &(roots.to_owned() + "rootless_storage_path = \"/other\"\n"))]).load();
    assert_eq!(both.graph_root, Path::new("/data/1000"), "graphroot wins");
    for place in ["etc/containers/storage.rootless.conf.d/1.conf", "home/.config/containers/storage.conf.d/1.conf"] {
        assert_eq!(System::of(1000, &[(ETC, everyone), (place, roots)]).load().graph_root, Path::new("/data/1000"));
    }
    let named = System::of(1000, &[("x.conf", everyone)]).set_path("CONTAINERS_STORAGE_CONF", "x.conf").load();
    assert_eq!(named.graph_root, Path::new("/srv/root"), "a file that was named is for whoever named it");
}

#[test]
fn a_path_for_others_is_not_looked_at() {
    let text = "[storage]\nrootless_storage_path = \"/srv/$NOSUCH\"\n";
    assert_eq!(System::of(0, &[(ETC, text)]).load().graph_root, Path::new("/var/lib/containers/storage"));
    let error = System::of(1000, &[(ETC, text)]).refused().to_string();
    assert!(
        error.contains("line 2: storage.rootless_storage_path: ") && error.contains("NOSUCH is not set"),
        "{error}"
    );
}

#[test]
fn every_key_is_known_and_reaches_the_result() {
    let text = "[storage]\ndriver = \"overlay\"\ndriver_priority = [\"overlay\"]\nrunroot = \"/r\"\ngraphroot = \"/g\"\n\
        imagestore = \"/i\"\nrootless_storage_path = \"/h\"\ntransient_store = true\n[storage.options]\n\
        additionalimagestores = [\"/a\"]\nadditionallayerstores = []\nsize = \"1G\"\nignore_chown_errors = \"false\"\n\
        force_mask = \"shared\"\nmount_program = \"/bin/x\"\nmountopt = \"nodev\"\nskip_mount_home = \"true\"\n\
        use_composefs = \"false\"\ndisable-volatile = true\nroot-auto-userns-user = \"containers\"\n\
        auto-userns-min-size = 2048\nauto-userns-max-size = 4096\n[storage.options.pull_options]\n\
        enable_partial_images = \"true\"\nuse_hard_links = \"false\"\nostree_repos = \"\"\nconvert_images = \"false\"\n\
        insecure_allow_unpredictable_image_contents = \"false\"\n[storage.options.overlay]\nignore_chown_errors = \"true\"\n\
        mountopt = \"nodev\"\nmount_program = \"\"\nsize = \"2G\"\ninodes = \"1000\"\nskip_mount_home = \"\"\n\
        use_composefs = \"\"\nforce_mask = \"private\"\nsync = \"none\"\n[storage.options.vfs]\nignore_chown_errors = \"\"\n\
        sync = \"\"\n[storage.options.btrfs]\nmin_space = \"10M\"\nsize = \"1G\"\n[storage.options.zfs]\nfsname = \"p\"\n\
        mountopt = \"x\"\nsize = \"1G\"\n";
    let loaded = System::of(0, &[(ETC, text)]).load();
    assert_eq!((loaded.warnings.as_slice(), loaded.notes.as_slice()), (&[][..], &[][..]));
    assert_eq!((loaded.image_store, loaded.transient), (Some("/i".into()), true));
    let auto = AutoUserns { root_user: Some("containers".into()), min_size: 2048, max_size: 4096 };
    assert_eq!((loaded.auto_userns, loaded.disable_volatile, loaded.pull_options.len()), (auto, true, 5));
    let overlay = "ignore_chown_errors=true mount_program=/bin/x mountopt=nodev size=2G inodes=1000 skip_mount_home=true \
                   use_composefs=false force_mask=private sync=none";
    let overlay: Vec<String> = overlay.split(' ').map(|option| format!("overlay.{option}")).collect();
    assert_eq!(loaded.driver_options, overlay);
}

#[test]
fn values_that_contradict_each_other_are_refused_by_key() {
    for (text, words) in [
        ("[storage]\ngraphroot = \"/g\"\nimagestore = \"/g\"\n", "line 3: storage.imagestore: it is the graph root"),
        (
            "[storage]\ngraphroot = \"g\"\n",
            "line 2: storage.graphroot: \"g\" is no absolute path; write the path from /",
        ),
        (
            "[storage.options]\nauto-userns-min-size = 9\nauto-userns-max-size = 8\n",
            "line 2: storage.options.auto-userns-min-size: 9 is more than auto-userns-max-size, which is 8",
        ),
        ("storage = \"x\"", "line 1: storage is of type string"),
        ("[storage\n", "line 1: "),
    ] {
        let error = System::of(0, &[(ETC, text)]).refused();
        assert_eq!(error.kind(), Kind::Usage, "{error}");
        assert!(error.to_string().contains(words) && error.to_string().contains(ETC), "{text}: {error}");
    }
    let only_one = System::of(0, &[(ETC, &options("auto-userns-min-size = 100000"))]).load().auto_userns;
    assert_eq!((only_one.min_size, only_one.max_size), (100_000, 100_000), "a default gives way");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_path() {
    let system = System::of(0, &[("etc/containers/storage.conf/x", "")]);
    let error = system.refused();
    assert_eq!((error.kind(), error.path()), (Kind::Io, Some(system.path(ETC).as_path())), "{error}");
    let system = System::of(0, &[]);
    system.write(ETC, "");
    fs::write(system.path(ETC), b"\xff").expect("write a file");
    assert!(system.refused().to_string().contains("not UTF-8"));
}

#[test]
fn one_named_file_is_read_alone() {
    let system = System::of(1000, &[(ETC, &driver("a")), ("x.conf", "[storage]\ngraphroot = \"/x\"\n")]);
    let loaded = Configuration::load_file(&system.environment(), &system.path("x.conf")).expect("load");
    assert_eq!((loaded.graph_root.as_path(), loaded.driver, loaded.files.len()), (Path::new("/x"), None, 1));
    let error = Configuration::load_file(&system.environment(), &system.path("nosuch")).expect_err("no file");
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn what_a_caller_gives_shuts_out_all_but_missing_roots() {
    let text = "[storage]\ndriver = \"zfs\"\ngraphroot = \"/g\"\nrunroot = \"/r\"\ntransient_store = true\nimagestore = \"/i\"\n\
                [storage.options]\nmountopt = \"nodev\"\nadditionalimagestores = [\"/a\"]\nfoo = 1\n";
    let system = System::of(0, &[(ETC, text)]);
    let given = |given: Given| Configuration::load_given(&system.environment(), given).expect("load");
    assert_eq!(given(Given::default()), system.load());
    let one = given(Given { graph_root: Some("/mine".into()), ..Given::default() });
    assert_eq!((one.graph_root.as_path(), one.run_root.as_path()), (Path::new("/mine"), Path::new("/r")));
    assert_eq!((&one.driver, one.transient, &one.image_store), (&None, false, &None));
    assert!(one.driver_options.is_empty() && one.additional_image_stores.is_empty());
    assert_eq!((one.warnings.len(), one.sources["storage.graphroot"].to_string().as_str()), (1, "given"));
    let options = vec!["overlay.imagestore=/b".to_owned(), "overlay.sync=filesystem".to_owned()];
    let other = given(Given { driver_options: options, ..Given::default() });
    assert_eq!((other.graph_root, other.sync), ("/g".into(), Some(LayerSync::Filesystem)));
    assert_eq!(other.additional_image_stores, [PathBuf::from("/b")]);
}

#[test]
fn variables_fill_in_for_a_caller_and_files_are_left_alone_where_both_roots_are_given() {
    let system = System::of(0, &[(ETC, "broken")]).set("STORAGE_DRIVER", "vfs").set("STORAGE_OPTS", "vfs.sync=none");
    let both = Given { graph_root: Some("/g".into()), run_root: Some("/r".into()), ..Given::default() };
    let loaded = Configuration::load_given(&system.environment(), both.clone()).expect("no file is read");
    assert_eq!(
        (loaded.driver.as_deref(), loaded.driver_options.as_slice()),
        (Some("vfs"), &["vfs.sync=none".to_owned()][..])
    );
    let named = Given { driver: Some("overlay".into()), ..both };
    let loaded = Configuration::load_given(&system.environment(), named).expect("no file is read");
    assert_eq!(loaded.driver.as_deref(), Some("overlay"));
}

#[test]
fn layer_stores_are_refused_when_a_store_is_to_be_opened_not_before() {
    let loaded = System::of(0, &[(ETC, &options("additionallayerstores = [\"/l:ref\"]"))]).load();
    let error = loaded.check_supported().expect_err("refused");
    assert_eq!(error.kind(), Kind::NotSupported);
    assert!(error.to_string().contains("storage.conf:2: additional layer stores (/l:ref)"), "{error}");
    System::of(0, &[(ETC, &options("additionallayerstores = []"))]).load().check_supported().expect("none is named");
}

#[test]
fn the_file_of_the_distribution_gives_no_warning() {
    let path = Path::new("/usr/share/containers/storage.conf");
    let Ok(text) = fs::read_to_string(path) else {
        let line = format!("SKIP the_file_of_the_distribution_gives_no_warning: {} is not there", path.display());
        writeln!(std::io::stderr(), "{line}").expect("write to standard error");
        return;
    };
    let document = document::read(path, &text).expect("read");
    assert!(document.warnings.is_empty(), "{:?}", document.warnings);
    assert!(!document.settings.is_empty(), "the file says something");
}
